-- rollup: titles_behind
-- A page whose title is older than that of the loaded day's newest pageview, or another than that pageview's.
select n.page_id
from pg_temp.loaded_titles n left join rollup_titles t using (page_id)
where t.page_id is null
   or (t.received_at, t.hit_id) < (n.received_at, n.hit_id)
   or ((t.received_at, t.hit_id) = (n.received_at, n.hit_id) and t.title_id <> n.title_id)
limit 1
