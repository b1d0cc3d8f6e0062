-- variables/channel.sql: every channel.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select channel as channel, sum(pageviews) as pageviews
    from daily_channels
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by channel
    order by pageviews desc, channel
    limit 500
)
select coalesce(channel, 'No data yet') as channel
from (select) as always
left join found on true
order by found.pageviews desc, found.channel
