-- enricher: look_stored
-- Which of these hits of a day are stored already. A subquery for each and no join: the index on (site_id, hit_id) is
-- asked, whatever the planner believes of a day that is just filling up.
select place
from unnest(%(sites)s::int[], %(ids)s::uuid[]) with ordinality as g (site_id, hit_id, place)
where (select true from stored_hits h where h.day = %(day)s and h.site_id = g.site_id and h.hit_id = g.hit_id)
