-- rollup: days
-- The days whose raw hits are kept, oldest first.
select
    to_date(substr(c.relname, 2), 'YYYYMMDD') as day,
    c.relname as partition,
    to_regclass('hits_days.' || c.relname || '_identity') is not null as is_open,
    -- A page is all-visible once it is vacuumed and until a row of it changes; -1: never looked at.
    c.reltuples >= 0 and c.relallvisible >= c.relpages as is_vacuumed,
    exists (
        select from rollup_pending w where w.day = to_date(substr(c.relname, 2), 'YYYYMMDD')
    ) as is_waiting
from pg_inherits p
join pg_class c on c.oid = p.inhrelid
where p.inhparent = 'stored_hits'::regclass
order by 1
