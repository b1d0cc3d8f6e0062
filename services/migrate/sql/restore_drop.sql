-- restore: drop
-- All that is in the schemas of ours, but for what an extension made there.
do $$
declare
    of_extensions oid[] := array(
        select objid from pg_depend
        where deptype = 'e' and refclassid = 'pg_extension'::regclass
          and classid in ('pg_class'::regclass, 'pg_proc'::regclass)
    );
begin
    drop schema hits_days cascade;
    -- The names are read before the first goes.
    execute coalesce((
        select string_agg(format('drop %s if exists public.%I cascade', kind, relname), '; ')
        from (
            select relname, case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
                            else 'table' end as kind
            from pg_class
            where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'S')
              and oid <> all (of_extensions)
            -- Tables before the sequences that are theirs.
            order by relkind = 'S'
        ) as ours
    ), 'select');
    execute coalesce((
        select string_agg(format('drop routine if exists %s cascade', oid::regprocedure), '; ')
        from pg_proc
        where pronamespace = 'public'::regnamespace and oid <> all (of_extensions)
    ), 'select');
end
$$
