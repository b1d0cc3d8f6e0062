-- bots/sites.sql: hits of bots beside the pageviews of people, by site.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select site, sum(bot_hits) as bot_hits, sum(owner_hits) as owner_hits, sum(pageviews) as pageviews
from daily_traffic
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by site
order by bot_hits desc, site
