-- rollup: put_titles
insert into rollup_titles as t (page_id, title_id, received_at, hit_id)
select page_id, title_id, received_at, hit_id
from pg_temp.wrong_titles
where title_id is not null
on conflict (page_id) do update
set title_id = excluded.title_id, received_at = excluded.received_at, hit_id = excluded.hit_id
where (excluded.received_at, excluded.hit_id) > (t.received_at, t.hit_id)
