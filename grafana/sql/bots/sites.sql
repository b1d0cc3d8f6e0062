-- bots/sites.sql: hits of bots beside the pageviews of people, by site.
with days as (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select site, sum(bot_hits) as bot_hits, sum(owner_hits) as owner_hits, sum(pageviews) as pageviews
from daily_traffic
where day between (select first_day from days) and (select last_day from days)
  and ('__all__' in ($site) or site in ($site))
group by site
order by bot_hits desc, site
