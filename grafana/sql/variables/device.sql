-- variables/device.sql: every kind of device.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select coalesce(device, 'Unknown') as device, sum(pageviews) as pageviews
    from daily_devices
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by coalesce(device, 'Unknown')
    order by pageviews desc, device
    limit 500
)
select coalesce(device, 'No data yet') as device
from (select) as always
left join found on true
order by found.pageviews desc, found.device
