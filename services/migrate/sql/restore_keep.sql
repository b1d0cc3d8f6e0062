-- restore: keep
-- What pixels have said to this database already: signs of life and counters, in groups without hits. Their numbers are
-- taken, and would be missed.
create temporary table kept_groups on commit drop as select * from public.stream_groups;
create temporary table kept_runs on commit drop as select * from public.pixel_runs;
create temporary table kept_left_out on commit drop as select * from public.ledger_left_out;
