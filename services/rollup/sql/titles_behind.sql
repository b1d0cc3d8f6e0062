-- rollup: titles_behind
-- A page whose title is older than that of its newest pageview of a day, or another than that pageview's.
select n.page_id
from (
    select distinct on (page_id) page_id, title_id, received_at, hit_id
    from hits_to_count
    where day = %(day)s and is_pageview and title_id > 0
    order by page_id, received_at desc, hit_id desc
) as n
left join rollup_titles t using (page_id)
where t.page_id is null
   or (t.received_at, t.hit_id) < (n.received_at, n.hit_id)
   or ((t.received_at, t.hit_id) = (n.received_at, n.hit_id) and t.title_id <> n.title_id)
limit 1
