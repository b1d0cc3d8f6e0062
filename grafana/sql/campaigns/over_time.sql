-- campaigns/over_time.sql: a point a day for each of the eight campaigns with the most pageviews, and for all others together.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select day, coalesce(utm_campaign, '–') as name, sum(pageviews) as pageviews
    from daily_campaigns
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by day, coalesce(utm_campaign, '–')
), placed as (
    select name, least(row_number() over (order by sum(pageviews) desc, name), 9) as place
    from found
    group by name
), drawn as (
    select place, case when count(*) = 1 then min(name) else '+ ' || count(*) || ' others' end as metric
    from placed
    group by place
), counted as (
    select distinct day
    from daily_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
), points as (
    select found.day, placed.place, sum(found.pageviews) as pageviews
    from found
    join placed using (name)
    group by found.day, placed.place
)
select counted.day::timestamp at time zone i.report_timezone as "time", drawn.metric,
       coalesce(points.pageviews, 0) as pageviews
from installation i
cross join counted
cross join drawn
left join points on (points.day, points.place) = (counted.day, drawn.place)
order by "time", drawn.place
