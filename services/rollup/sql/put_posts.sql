-- rollup: put_posts
insert into posts (page_id, title, url, published_at, feed)
select page_id, title, url, published_at, %(feed)s
from unnest(%(page_ids)s::int[], %(titles)s::text[], %(urls)s::text[], %(published)s::timestamptz[])
     as g (page_id, title, url, published_at)
