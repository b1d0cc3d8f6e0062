-- rollup: titles
-- The title of a page is that of its newest human pageview that has one, ties by the greater hit_id.
insert into rollup_titles as t (page_id, title_id, received_at, hit_id)
select distinct on (page_id) page_id, title_id, received_at, hit_id
from touched
where n > 0 and is_pageview and title_id > 0
  -- Few are sorted.
  and (page_id, received_at) in (
      select page_id, max(received_at) from touched where n > 0 and is_pageview and title_id > 0 group by page_id
  )
order by page_id, received_at desc, hit_id desc
on conflict (page_id) do update
set title_id = excluded.title_id, received_at = excluded.received_at, hit_id = excluded.hit_id
where (excluded.received_at, excluded.hit_id) > (t.received_at, t.hit_id)
