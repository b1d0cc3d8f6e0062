-- variables/source.sql: the 500 sources with the most pageviews; where there is none the channel stands.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select coalesce(source, channel) as source, sum(pageviews) as pageviews
    from daily_sources
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by coalesce(source, channel)
    order by pageviews desc, source
    limit 500
)
select coalesce(source, 'No data yet') as source
from (select) as always
left join found on true
order by found.pageviews desc, found.source
