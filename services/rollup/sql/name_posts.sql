-- rollup: name_posts
-- What a feed says of its posts anew. One that several feeds have belongs to the first, until that is gone.
update posts p
set title = g.title, url = g.url, feed = %(feed)s
from unnest(%(page_ids)s::int[], %(titles)s::text[], %(urls)s::text[]) as g (page_id, title, url)
where p.page_id = g.page_id
  and (p.feed = %(feed)s or not exists (select from feeds f where f.feed = p.feed))
  and (p.title, p.url, p.feed) is distinct from (g.title, g.url, %(feed)s)
