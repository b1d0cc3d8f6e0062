-- overview/missing_pages.sql: the 12 missing pages with the most pageviews.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select page_id, sum(pageviews) as pageviews, max(day) as last_day
    from rollup_missing
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by page_id
    order by pageviews desc, page_id
    limit 12
)
select p.host || p.path as page, found.pageviews, to_char(found.last_day, 'YYYY-MM-DD') as last_day
from found
join pages p using (page_id)
order by found.pageviews desc, p.host, p.path
