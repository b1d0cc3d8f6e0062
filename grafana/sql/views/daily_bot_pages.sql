-- views/daily_bot_pages.sql: the 100 pages with the most hits of bots.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select host, path, sum(bot_hits) as bot_hits
from daily_bot_pages
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by host, path
order by bot_hits desc, host, path
limit 100
