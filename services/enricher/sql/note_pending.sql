-- enricher: note_pending
insert into pending_groups (site, day, pixel_id, seq, hits)
select site, day, pixel_id, seq, max(hits)
from unnest(%(sites)s::text[], %(days)s::date[], %(pixels)s::uuid[], %(seqs)s::bigint[], %(hits)s::int[])
    as g (site, day, pixel_id, seq, hits)
group by site, day, pixel_id, seq
