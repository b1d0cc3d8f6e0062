-- pipeline/stored_a_minute.sql: hits stored a minute, as a mean of steps that are wider in a longer range.
-- The step that is under way is as long as it has been.
with span as materialized (
    select greatest($__timeFrom()::timestamptz, stored.first_minute) as from_at,
           least($__timeTo()::timestamptz, now()) as to_at,
           case when $__timeTo()::timestamptz - $__timeFrom()::timestamptz <= interval '6 hours' then interval '1 minute'
                when $__timeTo()::timestamptz - $__timeFrom()::timestamptz <= interval '30 hours' then interval '5 minutes'
                when $__timeTo()::timestamptz - $__timeFrom()::timestamptz <= interval '4 days' then interval '15 minutes'
                when $__timeTo()::timestamptz - $__timeFrom()::timestamptz <= interval '14 days' then interval '1 hour'
                else interval '6 hours' end as step
    from (select min(minute) as first_minute from ingest_minutes) stored
    where stored.first_minute is not null
), found as (
    select date_bin(span.step, minute, '2000-01-01 00:00+00') as starts_at, sum(hits) as hits
    from ingest_minutes
    cross join span
    where minute >= date_bin(span.step, span.from_at, '2000-01-01 00:00+00') and minute <= span.to_at
    group by starts_at
)
select steps.starts_at as "time",
       round(coalesce(found.hits, 0) / greatest(1, extract(epoch from least(span.step, span.to_at - steps.starts_at)) / 60), 2)
           as stored
from span
cross join generate_series(date_bin(span.step, span.from_at, '2000-01-01 00:00+00'), span.to_at, span.step) as steps (starts_at)
left join found using (starts_at)
order by "time"
