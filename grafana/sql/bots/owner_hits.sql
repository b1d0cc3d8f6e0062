-- bots/owner_hits.sql: the owner's own hits, all events; a hit may be a bot's too.
with days as (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(owner_hits), 0) as owner_hits
from daily_traffic
where day between (select first_day from days) and (select last_day from days)
  and ('__all__' in ($site) or site in ($site))
having exists (select from daily_traffic)
