-- audience/pages_a_session.sql: pageviews of sessions by sessions. Exact over days, as no session outlives its day.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select round((sum(pageviews) - sum(anonymous_pageviews))::numeric / sum(visitors), 1) as pages_a_session
from daily_traffic
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
having sum(visitors) > 0
