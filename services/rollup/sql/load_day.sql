-- rollup: load_day
insert into pg_temp.loaded
select *
from hits_to_count h
where day = %(day)s and not exists (select from rollup_pending w where w.batch_id = h.batch_id)
