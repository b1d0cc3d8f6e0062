-- views/daily_sessions.sql: sessions, and those with one pageview, of each day.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select day, sum(sessions) as sessions, sum(single_page_sessions) as single_page_sessions
from daily_sessions
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by day
order by day
