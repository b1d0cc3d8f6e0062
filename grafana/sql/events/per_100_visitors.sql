-- events/per_100_visitors.sql: events by 100 visitors of the same days and sites.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select coalesce(sum(events), 0) as events
    from daily_events
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
), counted as (
    select sum(visitors) as visitors
    from daily_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
)
select round(found.events * 100.0 / counted.visitors, 1) as per_100_visitors
from found
cross join counted
where counted.visitors > 0
