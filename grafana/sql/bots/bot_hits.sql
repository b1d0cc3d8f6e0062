-- bots/bot_hits.sql: hits of bots, all events.
with days as (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(bot_hits), 0) as bot_hits
from daily_traffic
where day between (select first_day from days) and (select last_day from days)
  and ('__all__' in ($site) or site in ($site))
having exists (select from daily_traffic)
