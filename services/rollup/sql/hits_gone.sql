-- rollup: hits_gone
select coalesce(l.site, r.site), coalesce(l.day, r.day), coalesce(l.stored, 0), coalesce(r.hits, 0)
from (select site, day, stored from ledger where day between %(first)s and %(last)s) as l
full join (
    select coalesce(s.site, 'site_id ' || h.site_id) as site, h.day, h.hits
    from (
        select site_id, day, count(*) as hits
        from stored_hits
        where day between %(first)s and %(last)s
        group by site_id, day
    ) as h
    left join sites s using (site_id)
) as r using (site, day)
where coalesce(l.stored, 0) <> coalesce(r.hits, 0)
order by 2, 1
