-- events/list.sql: the 1,000 most frequent events, and how many of 100 visitors each is of.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select event, sum(events) as events, sum(sessions) as sessions
    from daily_events
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by event
), counted as (
    select sum(visitors) as visitors
    from daily_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
)
select found.event, found.events, found.sessions,
       coalesce(round(found.sessions * 100.0 / nullif(counted.visitors, 0), 1), 0) as conversion
from found
cross join counted
order by found.events desc, found.sessions desc, found.event
limit 1000
