-- audience/hours_of_the_week.sql: a row a weekday, a column an hour: visitors active in it, on average.
-- An hour is divided by how often it has begun since the first day that was counted: a range has five of one weekday
-- and four of another, and today is not over.
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
), hours as (
    select extract(isodow from clock.at)::integer as weekday, extract(hour from clock.at)::integer as hour,
           count(*) as times
    from days
    cross join generate_series(
        days.first_day::timestamp, days.last_day::timestamp + interval '23 hours', '1 hour'
    ) as clock (at)
    where clock.at <= now() at time zone days.report_timezone
    group by 1, 2
), found as (
    select extract(isodow from day)::integer as weekday,
           extract(hour from hour_starts_at at time zone days.report_timezone)::integer as hour,
           sum(visitors) as visitors
    from hourly_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by 1, 2
), cells as (
    select weekday, hour, round(coalesce(visitors, 0)::numeric / times, 1) as visitors
    from hours
    left join found using (weekday, hour)
)
select (array['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'])[weekday] as weekday,
       coalesce(max(visitors) filter (where hour = 0), 0) as hour_00,
       coalesce(max(visitors) filter (where hour = 1), 0) as hour_01,
       coalesce(max(visitors) filter (where hour = 2), 0) as hour_02,
       coalesce(max(visitors) filter (where hour = 3), 0) as hour_03,
       coalesce(max(visitors) filter (where hour = 4), 0) as hour_04,
       coalesce(max(visitors) filter (where hour = 5), 0) as hour_05,
       coalesce(max(visitors) filter (where hour = 6), 0) as hour_06,
       coalesce(max(visitors) filter (where hour = 7), 0) as hour_07,
       coalesce(max(visitors) filter (where hour = 8), 0) as hour_08,
       coalesce(max(visitors) filter (where hour = 9), 0) as hour_09,
       coalesce(max(visitors) filter (where hour = 10), 0) as hour_10,
       coalesce(max(visitors) filter (where hour = 11), 0) as hour_11,
       coalesce(max(visitors) filter (where hour = 12), 0) as hour_12,
       coalesce(max(visitors) filter (where hour = 13), 0) as hour_13,
       coalesce(max(visitors) filter (where hour = 14), 0) as hour_14,
       coalesce(max(visitors) filter (where hour = 15), 0) as hour_15,
       coalesce(max(visitors) filter (where hour = 16), 0) as hour_16,
       coalesce(max(visitors) filter (where hour = 17), 0) as hour_17,
       coalesce(max(visitors) filter (where hour = 18), 0) as hour_18,
       coalesce(max(visitors) filter (where hour = 19), 0) as hour_19,
       coalesce(max(visitors) filter (where hour = 20), 0) as hour_20,
       coalesce(max(visitors) filter (where hour = 21), 0) as hour_21,
       coalesce(max(visitors) filter (where hour = 22), 0) as hour_22,
       coalesce(max(visitors) filter (where hour = 23), 0) as hour_23
from cells
group by cells.weekday
order by cells.weekday
