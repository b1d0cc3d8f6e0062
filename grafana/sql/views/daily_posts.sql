-- views/daily_posts.sql: the ten posts with the most pageviews in their first 24 hours, of the days of the range.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select host, path, sum(pageviews) as pageviews
from daily_posts
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
  and span_hours = 24
group by host, path
order by pageviews desc, host, path
limit 10
