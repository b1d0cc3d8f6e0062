-- views/daily_traffic.sql: pageviews and visitors of each day.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select day, day_starts_at, sum(pageviews) as pageviews, sum(visitors) as visitors, sum(anonymous_pageviews) as anonymous_pageviews, sum(bot_hits) as bot_hits, sum(owner_hits) as owner_hits
from daily_traffic
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by day, day_starts_at
order by day
