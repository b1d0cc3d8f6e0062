-- explore/pages_of_a_country.sql: the pages that people with telephones in a country came to without a link.
select host, path, title, count(*) as pageviews, count(distinct session_id) as visitors
from explore_hits
where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date and ($__timeTo()::timestamptz at time zone 'UTC')::date
  and not is_bot and not is_me and event = 'pageview'
  and country = 'DE' and device = 'mobile' and channel = 'Direct'
group by host, path, title
order by pageviews desc, host, path, title
limit 25
