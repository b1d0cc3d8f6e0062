-- missing/over_time.sql: a point a day, at its beginning, from the first day that has a missing page.
with days as materialized (
    select greatest(($__timeFrom()::timestamptz at time zone i.report_timezone)::date,
                    counted.first_day) as first_day,
           least(($__timeTo()::timestamptz at time zone i.report_timezone)::date,
                 greatest(counted.last_day, (now() at time zone i.report_timezone)::date)) as last_day,
           i.report_timezone
    from installation i
    cross join (
        select min(day) as first_day, max(day) as last_day
        from rollup_missing
        where '__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site)))
    ) counted
    where counted.first_day is not null
), found as (
    select day,
           sum(pageviews) as missing
    from rollup_missing
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by day
)
select calendar.day_at at time zone days.report_timezone as "time",
       coalesce(found.missing, 0) as missing
from days
cross join generate_series(days.first_day::timestamp, days.last_day::timestamp, '1 day') as calendar (day_at)
left join found on found.day = calendar.day_at::date
order by "time"
