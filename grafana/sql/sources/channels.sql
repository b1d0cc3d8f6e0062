-- sources/channels.sql: pageviews of each channel. No visitors: they must not be added over sources.
with days as (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select channel, sum(pageviews) as pageviews
from daily_sources
where day between (select first_day from days) and (select last_day from days)
  and ('__all__' in ($site) or site in ($site))
group by channel
order by pageviews desc, channel
