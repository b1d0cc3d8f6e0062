-- sources/sources.sql: the 1,000 sources with the most pageviews.
-- Where there is none the channel stands: Direct.
with days as (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(source, channel) as source, channel, sum(pageviews) as pageviews, sum(visitors) as visitors
from daily_sources
where day between (select first_day from days) and (select last_day from days)
  and ('__all__' in ($site) or site in ($site))
group by daily_sources.source, channel
order by pageviews desc, visitors desc, source, channel
limit 1000
