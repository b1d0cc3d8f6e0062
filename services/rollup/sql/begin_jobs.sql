-- rollup: begin_jobs
-- A row for each job that is scheduled; how often those that were there have failed in a row.
insert into jobs (name, next_try_at)
select name, clock_timestamp() from unnest(%(names)s::text[]) as scheduled (name)
on conflict (name) do update set name = excluded.name
returning name, failures_in_a_row
