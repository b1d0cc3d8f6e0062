-- events/properties.sql: the 1,000 most frequent values of properties of events.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select event, property, value, sum(events) as events, sum(sessions) as sessions
from daily_event_properties
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by event, property, value
order by events desc, sessions desc, event, property, value
limit 1000
