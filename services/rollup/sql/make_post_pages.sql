-- rollup: make_post_pages
-- The pages of posts, which may have no hit yet; by the texts by which the enricher will find them.
with given as materialized (
    select s.site_id, g.host, g.path
    from unnest(%(sites)s::text[], %(hosts)s::text[], %(paths)s::text[]) as g (site, host, path)
    join sites s using (site)
)
insert into pages (site_id, host, path, used_on)
select g.site_id, g.host, g.path, (now() at time zone report_timezone)::date
from given g cross join installation
where not exists (select from pages p where p.key = row_key(g.site_id::text, g.host, g.path))
order by row_key(g.site_id::text, g.host, g.path)
on conflict (key) do nothing
