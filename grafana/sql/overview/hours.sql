-- overview/hours.sql: a point an hour, at its beginning, of the last two days up to the end of the range.
-- Half hours are made whole ones: where clocks go forward or back by half an hour, hours begin elsewhere after it.
with days as materialized (
    select greatest(ends.last_day - 1, counted.first_day) as first_day, ends.last_day, i.report_timezone
    from installation i
    cross join (
        select min(day) as first_day, max(day) as last_day
        from daily_traffic
        where '__all__' in ($site) or site in ($site)
    ) counted
    cross join lateral (
        select least(($__timeTo()::timestamptz at time zone i.report_timezone)::date,
                     greatest(counted.last_day, (now() at time zone i.report_timezone)::date)) as last_day
    ) ends
    where counted.first_day is not null
), found as (
    select hour_starts_at,
           sum(pageviews) as pageviews,
           sum(visitors) as visitors
    from hourly_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by hour_starts_at
), hours as (
    select distinct date_trunc('hour', half_hours.starts_at, days.report_timezone) as starts_at
    from days
    cross join generate_series(
        days.first_day::timestamp at time zone days.report_timezone,
        least((days.last_day + 1)::timestamp at time zone days.report_timezone - interval '1 minute',
              greatest(now(), (select max(hour_starts_at) from found))),
        '30 minutes'
    ) as half_hours (starts_at)
)
select hours.starts_at as "time",
       coalesce(found.pageviews, 0) as pageviews,
       coalesce(found.visitors, 0) as visitors
from hours
left join found on found.hour_starts_at = hours.starts_at
order by "time"
