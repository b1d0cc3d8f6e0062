-- pages/single_page_sessions.sql: sessions of one pageview. Exact over days, as no session outlives its day.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(single_page_sessions), 0) as single_page_sessions
from daily_sessions
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
having exists (select from daily_sessions)
