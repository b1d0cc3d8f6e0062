-- Roles of the services: neither is a superuser, as the role that the bundled servers begin with is. What they may do
-- is settled after each migration (services/migrate/sql/settle_rights.sql), so that later tables are not forgotten.
do $$
declare
    name text;
begin
    foreach name in array array['footfall_enricher', 'footfall_rollup'] loop
        if not exists (select from pg_roles where rolname = name) then
            execute format('create role %I login', name);
        end if;
    end loop;
exception when insufficient_privilege then
    -- A server of one's own whose owner may make no roles: the services go on as the role of DATABASE_URL.
    raise notice 'the roles footfall_enricher and footfall_rollup could not be made';
end
$$;

-- The enricher opens the day of a hit that comes late, and may make no tables otherwise.
alter function make_hits_partition(date) security definer set search_path = public, pg_temp;
alter function open_hits_day(date) security definer set search_path = public, pg_temp;
alter function close_hits_day(date) security definer set search_path = public, pg_temp;
revoke execute on function make_hits_partition(date), open_hits_day(date), close_hits_day(date) from public;

-- One viewer cannot take all connections of the server, of which the services need a dozen.
alter role grafana_reader connection limit 20;
alter role grafana_explorer connection limit 10;
alter role analyst connection limit 20;
