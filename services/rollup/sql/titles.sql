-- rollup: titles
-- The title of a page is that of its newest human pageview that has one, ties by the greater hit_id.
insert into rollup_titles as t (site, host, path, title, received_at, hit_id)
select distinct on (site, host, path) site, host, path, title, received_at, hit_id
from touched
where is_new and is_pageview and title is not null
order by site, host, path, received_at desc, hit_id desc
on conflict (site, host, text_key(path)) do update
set title = excluded.title, received_at = excluded.received_at, hit_id = excluded.hit_id
where (excluded.received_at, excluded.hit_id) > (t.received_at, t.hit_id)
