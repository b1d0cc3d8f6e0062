-- rollup: record_job
-- Given as seconds from now, so that the database's clock is the only one. What is not known stays as it was.
insert into jobs (name, last_started_at, last_done_at, last_failed_at, failures_in_a_row, last_error, next_try_at)
select %(name)s,
       at - make_interval(secs => %(started_ago_s)s),
       at - make_interval(secs => %(done_ago_s)s),
       at - make_interval(secs => %(failed_ago_s)s),
       %(failures)s,
       %(error)s,
       at + make_interval(secs => %(next_in_s)s)
from clock_timestamp() as at
on conflict (name) do update set
    last_started_at = coalesce(excluded.last_started_at, jobs.last_started_at),
    last_done_at = coalesce(excluded.last_done_at, jobs.last_done_at),
    last_failed_at = coalesce(excluded.last_failed_at, jobs.last_failed_at),
    failures_in_a_row = excluded.failures_in_a_row,
    last_error = coalesce(excluded.last_error, jobs.last_error),
    next_try_at = excluded.next_try_at
