-- sources/channels.sql: pageviews of each channel. No visitors: they must not be added over sources.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select channel, sum(pageviews) as pageviews
from daily_sources
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by channel
order by pageviews desc, channel
