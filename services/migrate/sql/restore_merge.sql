-- restore: merge
insert into public.stream_groups select * from pg_temp.kept_groups on conflict do nothing;
insert into public.pixel_runs as r select * from pg_temp.kept_runs
on conflict (pixel_id, stretch) do update set
    began_at = least(r.began_at, excluded.began_at),
    last_at = greatest(r.last_at, excluded.last_at);
insert into public.ledger_left_out as l select * from pg_temp.kept_left_out
on conflict (site, day, outcome, reason) do update set hits = l.hits + excluded.hits;
