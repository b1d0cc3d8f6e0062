-- explore/days_of_a_source.sql: visitors from search by day: one browser, the pages of a year.
select day, count(*) as pageviews, count(distinct session_id) as visitors
from explore_hits
where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date and ($__timeTo()::timestamptz at time zone 'UTC')::date
  and not is_bot and not is_me and event = 'pageview'
  and source = 'Search' and browser = 'Chrome' and path like '/2019/%'
group by day
order by day
