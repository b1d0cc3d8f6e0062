-- bots/bots.sql: the 1,000 bots with the most hits, all events.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(bot_name, '–') as bot_name, coalesce(bot_class, '–') as bot_class, sum(bot_hits) as bot_hits,
       to_char(max(day), 'YYYY-MM-DD') as last_day
from daily_bots
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by daily_bots.bot_name, daily_bots.bot_class
order by bot_hits desc, daily_bots.bot_name, daily_bots.bot_class
limit 1000
