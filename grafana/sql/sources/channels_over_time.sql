-- sources/channels_over_time.sql: a point a day and channel; a day without pageviews has a zero.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select day, channel, sum(pageviews) as pageviews
    from daily_channels
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by day, channel
), counted as (
    select distinct day from daily_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
), seen as (
    select distinct channel from found
)
select counted.day::timestamp at time zone i.report_timezone as "time", seen.channel as metric,
       coalesce(found.pageviews, 0) as pageviews
from installation i
cross join counted
cross join seen
left join found on (found.day, found.channel) = (counted.day, seen.channel)
order by "time", metric
