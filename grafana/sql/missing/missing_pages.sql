-- missing/missing_pages.sql: the 1,000 pairs of missing page and referrer with the most pageviews.
-- Own: a page of the same host, or of the site.
-- A referrer that was taken for several sources is one here.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), counted as (
    select page_id, referrer_id, sum(pageviews) as pageviews, max(day) as last_day
    from rollup_missing
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by page_id, referrer_id
), found as (
    select page_id, r.referrer, sum(pageviews) as pageviews, max(last_day) as last_day
    from counted
    join referrers r using (referrer_id)
    group by page_id, r.referrer
    order by pageviews desc, page_id, r.referrer
    limit 1000
), addressed as (
    select p.host, p.path, found.referrer, found.pageviews, found.last_day,
           lower(substring(found.referrer from '^https?://([^/:?#]+)')) in (p.host, s.site)
           or right(substring(found.referrer from '^https?://([^/:?#]+)'), length(s.site) + 1) = '.' || s.site
           as is_own,
           page_address(p.host, p.path) as page_address
    from found
    join pages p using (page_id)
    join sites s using (site_id)
)
select host, path, coalesce(referrer, '–') as referrer,
       case when is_own then 'own page' when referrer is not null then 'elsewhere' else '–' end as whose, pageviews,
       to_char(last_day, 'YYYY-MM-DD') as last_day,
       page_address, host || path as page,
       case when referrer ~ '^https?://' then referrer else page_address end as referrer_address
from addressed
order by pageviews desc, host, path, addressed.referrer
