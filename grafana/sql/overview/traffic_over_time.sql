-- overview/traffic_over_time.sql: a point a day, at its beginning, from the first day that was ever counted.
-- A day that is not over has columns of its own, which begin a day earlier, so that a dashed line leads to it.
-- Of the days before the range each stands under that of the range which it is compared with.
with days as materialized (
    select greatest(d.first_day, counted.first_counted) as first_day,
           least(d.last_day, greatest(counted.last_counted, i.today)) as last_day,
           d.whole_until, d.whole_until - d.first_day + 1 as compared_days, d.before_from,
           case when d.is_open then d.first_day when d.whole_until < d.last_day then d.whole_until end as open_from,
           i.today, i.report_timezone, counted.first_counted
    from days_to_compare($__timeFrom(), $__timeTo()) d
    cross join (
        select report_timezone, (now() at time zone report_timezone)::date as today from installation
    ) i
    cross join (
        select min(day) as first_counted, max(day) as last_counted
        from daily_traffic
        where '__all__' in ($site) or site in ($site)
    ) counted
    where counted.first_counted is not null
), found as (
    select day,
           sum(pageviews) as pageviews,
           sum(visitors) as visitors
    from daily_traffic
    cross join days
    where day between days.before_from and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by day
), calendar as (
    select starts_at::date as day, starts_at at time zone report_timezone as day_starts_at
    from days
    cross join generate_series(first_day::timestamp, last_day::timestamp, '1 day') as starts_at
)
select calendar.day_starts_at as "time",
       case when open_from is null or calendar.day < today then coalesce(found.pageviews, 0) end as pageviews,
       case when open_from is null or calendar.day < today then coalesce(found.visitors, 0) end as visitors,
       case when calendar.day >= open_from then coalesce(found.pageviews, 0) end as pageviews_open,
       case when calendar.day >= open_from then coalesce(found.visitors, 0) end as visitors_open,
       case when calendar.day <= whole_until and calendar.day - compared_days >= first_counted then
           coalesce(before.pageviews, 0)
       end as pageviews_before
from days
cross join calendar
left join found on found.day = calendar.day
left join found before on before.day = calendar.day - days.compared_days
order by "time"
