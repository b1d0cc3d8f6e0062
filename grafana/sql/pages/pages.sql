-- pages/pages.sql: the 1,000 pages with the most pageviews.
-- Texts are looked up for those alone.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select page_id, sum(pageviews) as pageviews, sum(visitors) as visitors
    from rollup_pages
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by page_id
    order by pageviews desc, visitors desc, page_id
    limit 1000
)
select coalesce(t.title, '–') as title, p.host || p.path as page, found.pageviews, found.visitors,
       page_address(p.host, p.path) as page_address
from found
join pages p using (page_id)
left join rollup_titles n using (page_id)
left join titles t using (title_id)
order by found.pageviews desc, found.visitors desc, p.host, p.path
