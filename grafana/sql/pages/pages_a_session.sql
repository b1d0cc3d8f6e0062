-- pages/pages_a_session.sql: pageviews with a session, for each session.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select round(1.0 * sum(pageviews - anonymous_pageviews) / sum(visitors), 2) as pages_a_session
from daily_traffic
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
having sum(visitors) > 0
