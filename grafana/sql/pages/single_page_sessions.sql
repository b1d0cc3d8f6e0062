-- pages/single_page_sessions.sql: sessions of one pageview, of a hundred sessions.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select round(100.0 * sum(single_page_sessions) / sum(sessions), 1) as single_page_percent
from daily_sessions
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
having sum(sessions) > 0
