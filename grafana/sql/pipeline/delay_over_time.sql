-- pipeline/delay_over_time.sql: from receiving to storing, by when it was stored; steps are wider in a longer range.
with span as materialized (
    select case when $__timeTo()::timestamptz - $__timeFrom()::timestamptz <= interval '6 hours' then interval '1 minute'
                when $__timeTo()::timestamptz - $__timeFrom()::timestamptz <= interval '30 hours' then interval '5 minutes'
                when $__timeTo()::timestamptz - $__timeFrom()::timestamptz <= interval '4 days' then interval '15 minutes'
                when $__timeTo()::timestamptz - $__timeFrom()::timestamptz <= interval '14 days' then interval '1 hour'
                else interval '6 hours' end as step
)
select date_bin(span.step, minute, '2000-01-01 00:00+00') as "time",
       sum(delay_ms_sum) / 1000.0 / sum(hits) as mean,
       max(delay_ms_max) / 1000.0 as longest
from ingest_minutes
cross join span
where minute between $__timeFrom()::timestamptz and $__timeTo()::timestamptz
group by "time"
order by "time"
