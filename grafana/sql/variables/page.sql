-- variables/page.sql: the 500 pages with the most pageviews, as host and path.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select page_id, sum(pageviews) as pageviews
    from rollup_pages
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by page_id
    order by pageviews desc, page_id
    limit 500
), named as (
    select p.host || p.path as page, sum(found.pageviews) as pageviews
    from found
    join pages p using (page_id)
    group by p.host || p.path
)
select coalesce(page, 'No data yet') as page
from (select) as always
left join named on true
order by named.pageviews desc, named.page
