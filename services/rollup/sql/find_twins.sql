-- rollup: find_twins
-- The one received first stays; of equal times the one that is there.
update pg_temp.moving m
set has_twin = true, is_out = t.received_at <= m.received_at
from stored_hits t
where t.day = %(to_day)s and t.site_id = m.site_id and t.hit_id = m.hit_id
