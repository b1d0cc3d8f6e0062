-- overview/recent_posts.sql: the ten newest posts, whatever the range, with their pageviews since they were published.
-- pageviews_24h and pageviews_7d begin at the minute of publication; pageviews and visitors are of whole days, the day
-- of publication included.
with posted as materialized (
    select p.page_id, p.title, p.url, p.published_at, g.site_id, g.host, g.path,
           (p.published_at at time zone i.report_timezone)::date as published_on,
           (now() at time zone i.report_timezone)::date as today
    from posts p
    join pages g using (page_id)
    cross join installation i
    where p.published_at <= now()
      and ('__all__' in ($site) or g.site_id = any(array(select site_id from sites where site in ($site))))
    order by p.published_at desc, p.page_id
    limit 10
), counted as materialized (
    select min(day) as first_day from rollup_traffic
)
select posted.title, to_char(posted.published_on, 'YYYY-MM-DD') as published,
       coalesce(early.pageviews_24h, 0) as pageviews_24h, coalesce(early.pageviews_7d, 0) as pageviews_7d,
       coalesce(whole.pageviews, 0) as pageviews, coalesce(whole.visitors, 0) as visitors,
       posted.url as page_address, posted.host || posted.path as page
from posted
cross join counted
cross join lateral (
    select sum(r.pageviews) filter (where r.span_hours = 24) as pageviews_24h,
           sum(r.pageviews) filter (where r.span_hours = 168) as pageviews_7d
    from rollup_posts r
    where r.page_id = posted.page_id
) early
cross join lateral (
    select sum(cell.pageviews) as pageviews, sum(cell.visitors) as visitors
    from generate_series(0, posted.today - greatest(posted.published_on, counted.first_day)) as passed
    cross join lateral (
        select r.pageviews, r.visitors
        from rollup_pages r
        where (r.day, r.site_id, r.page_id)
            = (greatest(posted.published_on, counted.first_day) + passed, posted.site_id, posted.page_id)
        offset 0
    ) cell
) whole
order by posted.published_at desc, posted.page_id
