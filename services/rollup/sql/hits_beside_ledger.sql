-- rollup: hits_beside_ledger
-- How many hits of a day were stored, by the ledger, and whether these are the day's rows, site by site.
select
    coalesce(sum(l.stored), 0)::bigint as stored,
    coalesce(bool_and(coalesce(h.hits, 0) = coalesce(l.stored, 0)), true) as is_equal
from (
    select s.site, count(*) as hits
    from stored_hits left join sites s using (site_id)
    where day = %(day)s
    group by s.site
) as h
full join (select site, stored from ledger where day = %(day)s) as l on l.site = h.site
