-- explore/days_of_a_page.sql: a page by day: one country, one device.
select day, count(*) as pageviews, count(distinct session_id) as visitors
from explore_hits
where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date and ($__timeTo()::timestamptz at time zone 'UTC')::date
  and not is_bot and not is_me and event = 'pageview'
  and country = 'US' and device = 'desktop'
  and path = '$page'
group by day
order by day
