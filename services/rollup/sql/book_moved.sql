-- rollup: book_moved
-- In the order of the enricher's bookings.
with moved as (
    select s.site, count(*) as hits, count(*) filter (where m.has_twin) as twins
    from pg_temp.moving m join sites s using (site_id)
    group by s.site
),
changes as (
    select site, %(day)s::date as day, -hits as accepted, -hits as stored, 0 as duplicate from moved
    union all
    select site, %(to_day)s::date, hits, hits - twins, twins from moved
)
insert into ledger as l (site, day, accepted, stored, duplicate)
select site, day, accepted, stored, duplicate from changes order by site, day
on conflict (site, day) do update set
    accepted = l.accepted + excluded.accepted,
    stored = l.stored + excluded.stored,
    duplicate = l.duplicate + excluded.duplicate
