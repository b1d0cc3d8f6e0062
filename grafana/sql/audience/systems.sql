-- audience/systems.sql: the 12 operating systems with the most visitors, and all others in one row.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select coalesce(os, 'Unknown') as os, sum(visitors) as visitors, sum(pageviews) as pageviews
    from daily_systems
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by coalesce(os, 'Unknown')
), placed as (
    select *, least(row_number() over (order by visitors desc, pageviews desc, os), 13) as place
    from found
)
select case when count(*) = 1 then min(os) else '+ ' || count(*) || ' others' end as os,
       sum(visitors) as visitors,
       coalesce(round(sum(visitors) * 100 / nullif(sum(sum(visitors)) over (), 0), 1), 0) as share,
       sum(pageviews) as pageviews
from placed
group by place
order by place
