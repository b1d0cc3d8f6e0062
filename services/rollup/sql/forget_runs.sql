-- rollup: forget_runs
-- The last one stays, or an outage that outlasts the retention would be none.
delete from pixel_runs
where last_at < now() - %(keep)s::interval and last_at < (select max(last_at) from pixel_runs)
