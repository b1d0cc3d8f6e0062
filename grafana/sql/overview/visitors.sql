-- overview/visitors.sql: daily visitors, summed. Exact, as no session outlives its day.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(visitors), 0) as visitors
from daily_traffic
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
having exists (select from daily_traffic)
