-- rollup: mark_wrong_sessions
insert into sessions_pending (site_id, day)
select site_id, day from pg_temp.wrong_rollup_sessions
union
select site_id, day from pg_temp.wrong_rollup_entries
union
select site_id, day from pg_temp.wrong_rollup_exits
