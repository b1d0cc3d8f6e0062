-- pages/top_pages_over_time.sql: the ten pages with the most pageviews, a point a day and page.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), top as materialized (
    select page_id, sum(pageviews) as pageviews
    from rollup_pages
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by page_id
    order by pageviews desc, page_id
    limit 10
), counted as (
    select distinct day
    from rollup_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
)
select counted.day::timestamp at time zone i.report_timezone as "time", p.host || p.path as metric,
       coalesce(cell.pageviews, 0) as pageviews
from installation i
cross join counted
cross join top
join pages p using (page_id)
left join lateral (
    select r.pageviews
    from rollup_pages r
    where (r.day, r.site_id, r.page_id) = (counted.day, p.site_id, top.page_id)
    offset 0
) cell on true
order by "time", top.pageviews desc, metric
