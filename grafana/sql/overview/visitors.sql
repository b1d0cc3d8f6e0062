-- overview/visitors.sql: daily visitors, summed. Exact, as no session outlives its day.
with days as (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(visitors), 0) as visitors
from daily_traffic
where day between (select first_day from days) and (select last_day from days)
  and ('__all__' in ($site) or site in ($site))
having exists (select from daily_traffic)
