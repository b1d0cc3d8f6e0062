-- explore/hours_of_a_site.sql: a site by hour: one language, one class of screen.
select date_trunc('hour', received_at) as hour, count(*) as pageviews, count(distinct session_id) as visitors
from explore_hits
where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date and ($__timeTo()::timestamptz at time zone 'UTC')::date
  and not is_bot and not is_me and event = 'pageview'
  and site = 'blog.example' and language = 'de-DE' and screen = '1920x1080'
group by hour
order by hour
