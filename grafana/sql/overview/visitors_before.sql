-- overview/visitors_before.sql: visitors of as many days right before the range. Daily visitors, summed.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(previous_visitors), 0) as visitors
from days
cross join lateral traffic_of_period(days.first_day, days.last_day)
where ('__all__' in ($site) or site in ($site))
having exists (select from daily_traffic cross join days where day < days.first_day)
