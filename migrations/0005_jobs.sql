-- How the rollup's jobs are doing, for the dashboard `pipeline`, which reads nothing but PostgreSQL.

create table jobs (
    name text primary key,
    last_started_at timestamptz,
    last_done_at timestamptz,
    last_failed_at timestamptz,
    failures_in_a_row integer not null default 0 check (failures_in_a_row >= 0),
    last_error text,
    next_try_at timestamptz not null
);
comment on table jobs is 'The jobs of the rollup, a row each, written by the one rollup process that works: at once when a job fails or recovers, else every 10 s at most. After the database itself was away, what was missed is written when it is back.';
comment on column jobs.name is 'Name of the job: refresh, upkeep, country …; its id in RQ and its label in the metrics.';
comment on column jobs.last_started_at is 'When it was last started; NULL: never.';
comment on column jobs.last_done_at is 'When it last ended well; NULL: never.';
comment on column jobs.last_failed_at is 'When it last failed; NULL: never.';
comment on column jobs.failures_in_a_row is 'How often it has failed since it last ended well.';
comment on column jobs.last_error is 'Type of the error of last_failed_at, without its text; NULL: it never failed.';
comment on column jobs.next_try_at is 'When it is to run next by the clock, or be tried again after a failure; new hits start a refresh that does not fail before that.';
grant select on jobs to grafana_reader, grafana_explorer, analyst;
