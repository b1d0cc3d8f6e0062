-- audience/devices.sql: kinds of device. There are few, so that none is gathered.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(device, 'Unknown') as device,
       sum(visitors) as visitors,
       coalesce(round(sum(visitors) * 100.0 / nullif(sum(sum(visitors)) over (), 0), 1), 0) as share,
       sum(pageviews) as pageviews
from daily_devices
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by daily_devices.device
order by visitors desc, pageviews desc, device
