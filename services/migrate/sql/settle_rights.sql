-- migrate: settle_rights
-- Who owns what, and what the services may do. Changes only what is not so yet, as each change locks its table.
-- The rollup owns all: it makes, closes and drops the days. The enricher reads and writes rows. Only a superuser hands
-- over what it owns; another owner keeps it, and the rollup then works as that one. What an extension made in the same
-- schema is not ours: dblink's would let a service become the superuser.
do $$
declare
    item record;
    routine regprocedure;
    of_extensions oid[] := array(
        select objid from pg_depend
        where deptype = 'e' and refclassid = 'pg_extension'::regclass
          and classid in ('pg_class'::regclass, 'pg_proc'::regclass)
    );
begin
    if to_regclass('public.rollup_pending') is null or not exists (select from pg_roles where rolname = 'footfall_rollup')
       or not exists (select from pg_roles where rolname = 'footfall_enricher') then
        return;
    end if;

    if (select rolsuper from pg_roles where rolname = current_user) then
        for item in
            -- A sequence of an identity column goes with its table.
            select case when c.relkind = 'v' then 'view' when c.relkind = 'S' then 'sequence' else 'table' end as kind,
                   c.oid::regclass as name
            from pg_class c
            where c.relnamespace in ('public'::regnamespace, 'hits_days'::regnamespace)
              and c.relkind in ('r', 'p', 'v', 'S')
              and c.relowner <> 'footfall_rollup'::regrole
              and c.oid <> 'schema_migrations'::regclass
              and c.oid <> all (of_extensions)
              and not exists (
                  select from pg_depend d
                  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i') and c.relkind = 'S'
              )
        loop
            execute format('alter %s %s owner to footfall_rollup', item.kind, item.name);
        end loop;
        for routine in
            select oid::regprocedure from pg_proc
            where pronamespace = 'public'::regnamespace and proowner <> 'footfall_rollup'::regrole
              and oid <> all (of_extensions)
        loop
            execute format('alter function %s owner to footfall_rollup', routine);
        end loop;
        if (select nspowner from pg_namespace where nspname = 'hits_days') <> 'footfall_rollup'::regrole then
            alter schema hits_days owner to footfall_rollup;
        end if;
    end if;

    for item in
        select r as name, c.oid::regclass as relation,
               case when c.relkind = 'v' then 'select' else 'select, insert, update, delete' end as rights
        from pg_class c, unnest(array['footfall_enricher', 'footfall_rollup']) r
        where c.relnamespace = 'public'::regnamespace -- a day's hits are reached through stored_hits
          and c.relkind in ('r', 'p', 'v')
          and c.oid <> all (array['schema_migrations'::regclass, 'installation'::regclass])
          and c.oid <> all (of_extensions)
          and not has_table_privilege(r, c.oid, case when c.relkind = 'v' then 'select' else 'insert' end)
    loop
        execute format('grant %s on %s to %I', item.rights, item.relation, item.name);
    end loop;
    for item in
        select r as name, c.oid::regclass as relation
        from pg_class c, unnest(array['footfall_enricher', 'footfall_rollup']) r
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'S' and c.oid <> all (of_extensions)
          and not has_sequence_privilege(r, c.oid, 'usage')
    loop
        execute format('grant usage on sequence %s to %I', item.relation, item.name);
    end loop;
    for item in
        select r as name, p.oid::regprocedure as routine
        from pg_proc p, unnest(array['footfall_enricher', 'footfall_rollup']) r
        where (p.pronamespace = 'public'::regnamespace and p.oid <> all (of_extensions)
               or p.pronamespace = 'pg_catalog'::regnamespace and p.proname ~ '^pg_(try_)?advisory_(xact_)?lock(_shared)?$')
          and not has_function_privilege(r, p.oid, 'execute')
    loop
        begin
            execute format('grant execute on function %s to %I', item.routine, item.name);
        exception when insufficient_privilege then
            null; -- of a managed server: nothing was taken from public there either
        end;
    end loop;
    if not has_table_privilege('footfall_enricher', 'installation', 'select') then
        grant select on installation to footfall_enricher, footfall_rollup;
    end if;
    if not has_schema_privilege('footfall_enricher', 'hits_days', 'usage') then
        grant usage on schema hits_days to footfall_enricher, footfall_rollup; -- to_regclass asks for it
    end if;
    if not has_database_privilege('footfall_enricher', current_database(), 'temporary') then
        execute format('grant temporary on database %I to footfall_enricher, footfall_rollup', current_database());
    end if;
end
$$
