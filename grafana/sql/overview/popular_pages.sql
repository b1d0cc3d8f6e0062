-- overview/popular_pages.sql: the 100 pages with the most pageviews.
-- Titles are looked up for those alone. A path is kept decoded: what means something else in an address is
-- encoded again for the link.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select site, host, path, sum(pageviews) as pageviews, sum(visitors) as visitors
    from daily_pages
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by site, host, path
    order by pageviews desc, visitors desc, host, path
    limit 100
)
select found.host, found.path, coalesce(t.title, '–') as title, found.pageviews, found.visitors,
       'https://' || found.host || regexp_replace(replace(
           regexp_replace(found.path, '%(?![0-9A-Fa-f]{2})', '%25', 'g'), '?', '%3F'), '#(?![/!])', '%23', 'g'
       ) as page_address
from found
left join rollup_titles t on (t.site, t.host, t.path) = (found.site, found.host, found.path)
order by found.pageviews desc, found.visitors desc, found.host, found.path
