-- overview/anonymous_pageviews.sql: pageviews without a session.
with days as (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(anonymous_pageviews), 0) as anonymous_pageviews
from daily_traffic
where day between (select first_day from days) and (select last_day from days)
  and ('__all__' in ($site) or site in ($site))
having exists (select from daily_traffic)
