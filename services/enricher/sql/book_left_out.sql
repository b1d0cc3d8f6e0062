-- enricher: book_left_out
insert into ledger_left_out as l (site, day, outcome, reason, hits)
select site, day, outcome, reason, sum(hits)
from unnest(%(sites)s::text[], %(days)s::date[], %(outcomes)s::text[], %(reasons)s::text[], %(hits)s::bigint[])
    as o (site, day, outcome, reason, hits)
group by site, day, outcome, reason
order by site, day, outcome, reason
on conflict (site, day, outcome, reason) do update set hits = l.hits + excluded.hits
