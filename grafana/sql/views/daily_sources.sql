-- views/daily_sources.sql: the 100 sources with the most pageviews.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select source, channel, sum(pageviews) as pageviews, sum(visitors) as visitors
from daily_sources
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by source, channel
order by pageviews desc, source, channel
limit 100
