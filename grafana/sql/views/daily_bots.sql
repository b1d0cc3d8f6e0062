-- views/daily_bots.sql: the 100 bots with the most hits.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select bot_name, bot_class, sum(bot_hits) as bot_hits
from daily_bots
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by bot_name, bot_class
order by bot_hits desc, bot_name, bot_class
limit 100
