-- rollup: load_titles
insert into pg_temp.loaded_titles (page_id, title_id, received_at, hit_id)
select distinct on (page_id) page_id, title_id, received_at, hit_id
from pg_temp.loaded
where is_pageview and title_id > 0
order by page_id, received_at desc, hit_id desc
