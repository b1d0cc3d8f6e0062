-- variables/channel.sql: every channel.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select channel as channel
from daily_channels
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by channel
order by sum(pageviews) desc, channel
limit 500
