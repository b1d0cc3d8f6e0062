-- pipeline/jobs.sql: how each job of the rollup is doing, now; those that fail first.
select name as job,
       coalesce(date_trunc('second', clock_timestamp() - last_done_at)::text || ' ago', 'never') as last_done,
       failures_in_a_row,
       coalesce(last_error || ', ' || date_trunc('second', clock_timestamp() - last_failed_at)::text || ' ago', '–') as last_error,
       case when next_try_at <= clock_timestamp() then 'now'
            else 'in ' || date_trunc('second', next_try_at - clock_timestamp())::text end as next_try
from jobs
order by failures_in_a_row desc, name
