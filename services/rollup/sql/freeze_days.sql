-- rollup: freeze_days
-- Sites' days whose hits are not all there: what left would be missing from their rollups, what came would not be counted.
insert into pg_temp.frozen (site_id, day)
select s.site_id, coalesce(l.day, h.day)
from (select site_id, day, count(*) as hits from stored_hits group by site_id, day) as h
full join (select n.site_id, l.day, l.stored from ledger l join sites n using (site)) as l using (site_id, day)
join sites s using (site_id)
where coalesce(l.stored, 0) <> coalesce(h.hits, 0)
