-- views/daily_events.sql: the 100 events that came most often.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select event, sum(events) as events, sum(sessions) as sessions
from daily_events
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by event
order by events desc, event
limit 100
