-- bench: book the hits of a day, and a few that came twice
insert into ledger (site, day, accepted, stored, duplicate)
select s.site, %(day)s, count(*) + count(*) / 500, count(*), count(*) / 500
from stored_hits h join sites s using (site_id)
where h.day = %(day)s
group by s.site
