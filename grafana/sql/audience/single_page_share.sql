-- audience/single_page_share.sql: sessions with one pageview, of 100. Exact over days, as no session outlives its day.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select round(sum(single_page_sessions) * 100.0 / sum(sessions), 1) as single_page_share
from daily_sessions
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
having sum(sessions) > 0
