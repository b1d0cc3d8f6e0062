-- bots/classes_over_time.sql: hits of each kind of bot, a point a day, at its beginning.
with days as materialized (
    select greatest(($__timeFrom()::timestamptz at time zone i.report_timezone)::date,
                    counted.first_day) as first_day,
           least(($__timeTo()::timestamptz at time zone i.report_timezone)::date,
                 greatest(counted.last_day, (now() at time zone i.report_timezone)::date)) as last_day,
           i.report_timezone
    from installation i
    cross join (
        select min(day) as first_day, max(day) as last_day
        from daily_traffic
        where '__all__' in ($site) or site in ($site)
    ) counted
    where counted.first_day is not null
), found as (
    select day, coalesce(bot_class, '–') as metric, sum(bot_hits) as bot_hits
    from daily_bots
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by day, coalesce(bot_class, '–')
), lines as (
    select metric, sum(bot_hits) as total
    from found
    group by metric
    order by total desc, metric
)
select calendar.day_at at time zone days.report_timezone as "time", lines.metric,
       coalesce(found.bot_hits, 0) as bot_hits
from days
cross join generate_series(days.first_day::timestamp, days.last_day::timestamp, '1 day') as calendar (day_at)
cross join lines
left join found on found.day = calendar.day_at::date and found.metric = lines.metric
order by "time", lines.total desc, lines.metric
