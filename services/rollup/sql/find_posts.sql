-- rollup: find_posts
-- The pages of posts in their order, and which of them are posts already.
select p.page_id, exists (select from posts k where k.page_id = p.page_id)
from unnest(%(sites)s::text[], %(hosts)s::text[], %(paths)s::text[]) with ordinality as g (site, host, path, place)
join sites s on s.key = row_key(g.site)
join pages p on p.key = row_key(s.site_id::text, g.host, g.path)
order by g.place
