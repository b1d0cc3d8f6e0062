-- annotations/posts.sql: the posts that were published within the range.
-- Grafana shows the text as HTML.
select p.published_at as time,
       'published: ' || replace(replace(replace(p.title, '&', '&amp;'), '<', '&lt;'), '>', '&gt;') as text,
       'post' as tags
from posts p
join pages g using (page_id)
join sites s using (site_id)
where p.published_at between $__timeFrom()::timestamptz and $__timeTo()::timestamptz
  and ('__all__' in ($site) or s.site in ($site))
order by p.published_at, p.page_id
