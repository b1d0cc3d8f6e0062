-- campaigns/mediums.sql: the 20 mediums with the most pageviews, and all others in one row.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select coalesce(utm_medium, '–') as utm_medium, sum(pageviews) as pageviews
    from daily_campaigns
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by coalesce(utm_medium, '–')
), placed as (
    select *, least(row_number() over (order by pageviews desc, utm_medium), 21) as place
    from found
)
select case when count(*) = 1 then min(utm_medium) else '+ ' || count(*) || ' others' end as utm_medium,
       sum(pageviews) as pageviews,
       round(sum(pageviews) * 100 / sum(sum(pageviews)) over (), 1) as share
from placed
group by place
order by place
