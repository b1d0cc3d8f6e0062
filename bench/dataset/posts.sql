-- bench: posts
-- A post every 43 hours, of the pages that are read most. Parameter: `first_day`.
insert into posts (page_id, title, url, published_at, first_seen_at, feed)
select page_id, 'Post ' || number, 'https://' || host || path, published_at, published_at, 'blog.example/feed.xml'
from (select *, row_number() over (order by page_id) as number from pages join sites using (site_id) where site = 'blog.example') p
cross join lateral (select (%(first_day)s::date + (number - 1) * interval '43 hours') at time zone 'UTC' as published_at) t
where number <= 50
