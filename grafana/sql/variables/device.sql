-- variables/device.sql: every kind of device.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(device, 'Unknown') as device
from daily_devices
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by coalesce(device, 'Unknown')
order by sum(pageviews) desc, coalesce(device, 'Unknown')
limit 500
