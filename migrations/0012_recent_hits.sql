-- The hits of the last half hour without reading the whole day: the dashboard realtime asks for them every 5 s.
-- Hits lie about in the order in which they came, so that a few bytes for each 16 blocks tell where the newest are.
create or replace function open_hits_day(for_day date) returns boolean
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    partition text := 'd' || to_char(for_day, 'YYYYMMDD');
begin
    perform make_hits_partition(for_day);
    if to_regclass('hits_days.' || partition || '_identity') is not null then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('footfall make_hits_partition'));
    -- Locking a table makes the server hear of what was made or dropped meanwhile; an advisory lock does not.
    lock table only public.stored_hits in access share mode;
    if to_regclass('hits_days.' || partition || '_identity') is not null then
        return false;
    end if;
    execute format('create index %I on hits_days.%I (session_id) where session_id is not null', partition || '_session', partition);
    execute format('comment on index hits_days.%I is %L', partition || '_session',
                   'Finds the earlier hits of a session, from which a rollup knows what is new to it.');
    execute format('create index %I on hits_days.%I (batch_id)', partition || '_batch', partition);
    execute format('comment on index hits_days.%I is %L', partition || '_batch',
                   'Finds the hits of the batches that the rollups have not counted yet.');
    execute format('create index %I on hits_days.%I using brin (received_at) with (pages_per_range = 16, autosummarize = on)', partition || '_received', partition);
    execute format('comment on index hits_days.%I is %L', partition || '_received',
                   'Tells the blocks with the hits of the last minutes.');
    execute format('create unique index %I on hits_days.%I (site_id, hit_id)', partition || '_identity', partition);
    execute format('comment on index hits_days.%I is %L', partition || '_identity',
                   'Forbids the same hit twice: the same id on the same site and day is one hit, the first stored wins.');
    return true;
end
$$;

create or replace function close_hits_day(for_day date) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    partition text := 'd' || to_char(for_day, 'YYYYMMDD');
begin
    perform pg_advisory_xact_lock(hashtext('footfall make_hits_partition'));
    execute format('lock table hits_days.%I in access exclusive mode', partition);
    execute format('drop index if exists hits_days.%I', partition || '_identity');
    execute format('drop index if exists hits_days.%I', partition || '_session');
    execute format('drop index if exists hits_days.%I', partition || '_batch');
    execute format('drop index if exists hits_days.%I', partition || '_received');
end
$$;

do $$
declare
    line record;
begin
    -- Days that are open: today, a week ahead, and the last few.
    for line in
        select c.relname from pg_class c
        where c.relnamespace = 'hits_days'::regnamespace and c.relkind = 'r'
          and to_regclass('hits_days.' || c.relname || '_identity') is not null
        order by 1
    loop
        execute format('create index if not exists %I on hits_days.%I using brin (received_at) with (pages_per_range = 16, autosummarize = on)', line.relname || '_received', line.relname);
        execute format('comment on index hits_days.%I is %L', line.relname || '_received',
                       'Tells the blocks with the hits of the last minutes.');
    end loop;
end
$$;
