-- rollup: days_kept
with partitions as materialized ( -- or to_date is tried on the names of other tables too
    select c.relname
    from pg_inherits p join pg_class c on c.oid = p.inhrelid
    where p.inhparent = 'stored_hits'::regclass
),
kept as (
    select day from ledger
    union
    select to_date(substr(relname, 2), 'YYYYMMDD') from partitions
    union
    -- Days that should have a partition.
    select (now() at time zone report_timezone)::date + d from installation, generate_series(-1, 7) d
)
select day from kept where day between %(first)s and %(last)s
