-- rollup: find_true_titles
update pg_temp.wrong_titles w
set title_id = n.title_id, received_at = n.received_at, hit_id = n.hit_id
from (
    select distinct on (page_id) page_id, title_id, received_at, hit_id
    from hits_to_count h
    where page_id = any(array(select page_id from pg_temp.wrong_titles)) and is_pageview and title_id > 0
      and not exists (select from rollup_pending p where p.batch_id = h.batch_id)
    order by page_id, received_at desc, hit_id desc
) as n
where n.page_id = w.page_id
