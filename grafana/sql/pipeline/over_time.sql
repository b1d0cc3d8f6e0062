-- pipeline/over_time.sql: a point a day, at its beginning, from the first day of the ledger.
with days as materialized (
    select greatest(($__timeFrom()::timestamptz at time zone i.report_timezone)::date,
                    counted.first_day) as first_day,
           least(($__timeTo()::timestamptz at time zone i.report_timezone)::date,
                 greatest(counted.last_day, (now() at time zone i.report_timezone)::date)) as last_day,
           i.report_timezone
    from installation i
    cross join (
        select min(day) as first_day, max(day) as last_day
        from ledger
        where '__all__' in ($site) or site in ($site)
    ) counted
    where counted.first_day is not null
), found as (
    select day,
           sum(accepted) as accepted,
           sum(stored) as stored,
           sum(duplicate) as duplicate,
           sum(dead_lettered) as dead_lettered
    from ledger
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by day
)
select calendar.day_at at time zone days.report_timezone as "time",
       coalesce(found.accepted, 0) as accepted,
       coalesce(found.stored, 0) as stored,
       coalesce(found.duplicate, 0) as duplicate,
       coalesce(found.dead_lettered, 0) as dead_lettered
from days
cross join generate_series(days.first_day::timestamp, days.last_day::timestamp, '1 day') as calendar (day_at)
left join found on found.day = calendar.day_at::date
order by "time"
