-- migrate: settle_rights
-- Who owns what, and what the services may do. Changes only what is not so yet, as each change locks its table.
-- The rollup owns all: it makes, closes and drops the days. The enricher has what stands here by name, and what it had
-- beyond that is taken back: a table that later code makes is none of its business until it is named. Only a superuser
-- hands over what it owns; another owner keeps it, and the rollup then works as that one. What an extension made in the
-- same schema is not ours: dblink's would let a service become the superuser.
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
        with named (name, rights) as (
            values
                ('installation', 'SELECT'),
                -- Hits, and what they name by number. renormalise moves hits.
                ('stored_hits', 'SELECT, INSERT, UPDATE'),
                ('sites', 'SELECT, INSERT, UPDATE'),
                ('pages', 'SELECT, INSERT, UPDATE'),
                ('titles', 'SELECT, INSERT, UPDATE'),
                ('referrers', 'SELECT, INSERT, UPDATE'),
                ('origins', 'SELECT, INSERT, UPDATE'),
                ('clients', 'SELECT, INSERT, UPDATE'),
                ('hits_batch_id_seq', 'USAGE'),
                ('rollup_pending', 'SELECT, INSERT'),
                -- What became of each group and hit.
                ('stream_groups', 'SELECT, INSERT'),
                ('ledger', 'SELECT, INSERT, UPDATE'),
                ('ledger_left_out', 'SELECT, INSERT, UPDATE'),
                ('dead_letters', 'SELECT, INSERT, UPDATE, DELETE'),
                ('lone_attempts', 'SELECT, INSERT, UPDATE, DELETE'),
                -- The days that imports opened. To lock a row takes the right to change it.
                ('imports', 'SELECT, UPDATE'),
                -- How it goes.
                ('enricher_stops', 'SELECT, INSERT, UPDATE, DELETE'),
                ('ingest_minutes', 'SELECT, INSERT, UPDATE'),
                ('late_hits', 'SELECT, INSERT, UPDATE'),
                ('pixel_runs', 'SELECT, INSERT, UPDATE'),
                ('stream_look', 'SELECT, INSERT, UPDATE'),
                ('pending_groups', 'INSERT, DELETE'),
                -- The command renormalise: the days that it has read, and the rollups in which hits move.
                ('renormalised', 'SELECT, INSERT, UPDATE'),
                ('rollup_bots', 'SELECT, INSERT, UPDATE, DELETE'),
                ('rollup_channels', 'SELECT, INSERT, UPDATE, DELETE'),
                ('rollup_languages', 'SELECT, INSERT, UPDATE, DELETE'),
                ('rollup_missing', 'SELECT, INSERT, UPDATE, DELETE'),
                ('rollup_referrals', 'SELECT, INSERT, UPDATE, DELETE'),
                ('rollup_referrers', 'SELECT, INSERT, UPDATE, DELETE'),
                ('rollup_screens', 'SELECT, INSERT, UPDATE, DELETE'),
                ('rollup_source_details', 'SELECT, INSERT, UPDATE, DELETE'),
                ('rollup_sources', 'SELECT, INSERT, UPDATE, DELETE')
        ),
        wanted as (
            select to_regclass('public.' || name) as relation, 'footfall_enricher'::regrole as role, single
            from named, string_to_table(rights, ', ') as single
            where to_regclass('public.' || name) is not null
        ),
        given as (
            select c.oid::regclass as relation, a.grantee::regrole as role, a.privilege_type as single
            from pg_class c, aclexplode(c.relacl) a
            where c.relnamespace in ('public'::regnamespace, 'hits_days'::regnamespace)
              and a.grantee in ('footfall_enricher'::regrole, 'footfall_rollup'::regrole) and a.grantee <> c.relowner
              and c.oid <> all (of_extensions)
        ),
        changes as (
            (select 'grant' as verb, * from wanted except select 'grant', * from given)
            union all
            (select 'revoke', * from given except select 'revoke', * from wanted)
        )
        select verb, single, relation, role, case verb when 'grant' then 'to' else 'from' end as direction,
               case relkind when 'S' then 'sequence' else 'table' end as kind
        from changes join pg_class c on c.oid = relation
    loop
        execute format('%s %s on %s %s %s %s', item.verb, item.single, item.kind, item.relation, item.direction, item.role);
    end loop;

    for item in
        with named (role, name) as (
            values
                ('footfall_enricher', 'public.open_hits_day(date)'),
                ('footfall_enricher', 'public.hits_day_is_open(date)'),
                ('footfall_enricher', 'public.row_key(text[])'),
                ('footfall_enricher', 'pg_catalog.pg_advisory_xact_lock(bigint)'),
                ('footfall_rollup', 'pg_catalog.pg_advisory_xact_lock(bigint)'),
                ('footfall_rollup', 'pg_catalog.pg_try_advisory_lock(bigint)')
        ),
        wanted as (
            select role::regrole, to_regprocedure(name) as callee from named
        ),
        given as (
            select a.grantee::regrole as role, p.oid::regprocedure as callee
            from pg_proc p, aclexplode(p.proacl) a
            where p.pronamespace in ('public'::regnamespace, 'pg_catalog'::regnamespace) and p.oid <> all (of_extensions)
              and a.grantee in ('footfall_enricher'::regrole, 'footfall_rollup'::regrole) and a.grantee <> p.proowner
        )
        select 'grant' as verb, callee, 'to' as direction, role
        from wanted where not has_function_privilege(role, callee, 'execute')
        union all
        (select 'revoke', callee, 'from', role from given
         except select 'revoke', callee, 'from', role from wanted)
    loop
        begin
            execute format('%s execute on function %s %s %s', item.verb, item.callee, item.direction, item.role);
        exception when insufficient_privilege then
            null; -- of a managed server: nothing was taken from public there either
        end;
    end loop;
    if not has_schema_privilege('footfall_enricher', 'hits_days', 'usage') then
        grant usage on schema hits_days to footfall_enricher, footfall_rollup; -- to_regclass asks for it
    end if;
    if not has_database_privilege('footfall_enricher', current_database(), 'temporary') then
        execute format('grant temporary on database %I to footfall_enricher, footfall_rollup', current_database());
    end if;
end
$$
