-- explore/countries_of_a_browser.sql: where people with a browser and a system come from.
select country, count(*) as pageviews, count(distinct session_id) as visitors
from explore_hits
where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date and ($__timeTo()::timestamptz at time zone 'UTC')::date
  and not is_bot and not is_me and event = 'pageview'
  and site = 'shop.example' and browser = 'Firefox' and os = 'Windows'
group by country
order by visitors desc, country
