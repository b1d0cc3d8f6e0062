-- pages/top_pages_over_time.sql: the ten pages with the most pageviews, a point a day and page.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), top as (
    select site, host, path, sum(pageviews) as pageviews
    from daily_pages
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by site, host, path
    order by pageviews desc, host, path
    limit 10
), counted as (
    select distinct day from daily_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
)
select counted.day::timestamp at time zone i.report_timezone as "time", top.host || top.path as metric,
       coalesce(p.pageviews, 0) as pageviews
from installation i
cross join counted
cross join top
left join daily_pages p on (p.site, p.day, p.host, p.path) = (top.site, counted.day, top.host, top.path)
order by "time", top.pageviews desc, metric
