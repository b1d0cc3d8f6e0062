-- views/daily_devices.sql: the devices.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select device, sum(pageviews) as pageviews, sum(visitors) as visitors
from daily_devices
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by device
order by pageviews desc, device
limit 100
