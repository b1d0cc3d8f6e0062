-- explore/over_time.sql: a point a day, or an hour where the range is of two days at most, from the first counted day on.
-- Hours are counted from the beginning of the first day.
-- Where nothing is chosen but sites, the rollups know; only one of both is read.
with days as materialized (
    select greatest(($__timeFrom()::timestamptz at time zone i.report_timezone)::date, counted.first_day) as first_day,
           least(($__timeTo()::timestamptz at time zone i.report_timezone)::date,
                 greatest(counted.last_day, (now() at time zone i.report_timezone)::date)) as last_day,
           i.report_timezone,
           $__timeTo()::timestamptz - $__timeFrom()::timestamptz <= interval '2 days' as by_hour
    from installation i
    cross join (
        select min(day) as first_day, max(day) as last_day
        from daily_traffic
        where '__all__' in ($site) or site in ($site)
    ) counted
    where counted.first_day is not null
), starts as materialized (
    select first_day::timestamp at time zone report_timezone as begins_at,
           (last_day + 1)::timestamp at time zone report_timezone as ends_at
    from days
), found as (
    select day,
           case when (select by_hour from days)
                then date_bin('1 hour', received_at, (select begins_at from starts)) end as hour,
           count(*) as pageviews, count(distinct session_id) as visitors
    from explore_hits
    where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date - 1
                  and ($__timeTo()::timestamptz at time zone 'UTC')::date + 1
      and (day < (select first_day from days)) is not true and (day > (select last_day from days)) is not true
      and event = 'pageview'
      and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
      and ('__all__' in ($site) or site in ($site))
      and ('__all__' in ($page) or host || path in ($page))
      and ('__all__' in ($source) or source in ($source) or source is null and channel in ($source))
      and ('__all__' in ($channel) or channel in ($channel))
      and ('__all__' in ($country) or country in ($country) or 'XX' in ($country) and country is null)
      and ('__all__' in ($device) or device in ($device) or 'Unknown' in ($device) and device is null)
      and ('__all__' in ($campaign) or utm_campaign in ($campaign) or '–' in ($campaign) and utm_campaign is null)
      and not ('$traffic' = 'people' and '__all__' in ($page) and '__all__' in ($source) and '__all__' in ($channel)
               and '__all__' in ($country) and '__all__' in ($device) and '__all__' in ($campaign))
    group by 1, 2
    union all
    select day, case when days.by_hour then date_bin('1 hour', hour_starts_at, starts.begins_at) end,
           sum(pageviews), sum(visitors)
    from hourly_traffic
    cross join days
    cross join starts
    where '$traffic' = 'people' and '__all__' in ($page) and '__all__' in ($source) and '__all__' in ($channel)
      and '__all__' in ($country) and '__all__' in ($device) and '__all__' in ($campaign)
      and days.by_hour
      and day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by 1, 2
    union all
    select day, null, sum(pageviews), sum(visitors)
    from daily_traffic
    cross join days
    where '$traffic' = 'people' and '__all__' in ($page) and '__all__' in ($source) and '__all__' in ($channel)
      and '__all__' in ($country) and '__all__' in ($device) and '__all__' in ($campaign)
      and not days.by_hour
      and day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by day
), summed as (
    select coalesce(found.hour, found.day::timestamp at time zone days.report_timezone) as at,
           sum(pageviews) as pageviews, sum(visitors) as visitors
    from found
    cross join days
    group by 1
), points as (
    select calendar.day_at at time zone days.report_timezone as at
    from days
    cross join generate_series(days.first_day::timestamp, days.last_day::timestamp, '1 day') as calendar (day_at)
    where not days.by_hour
    union all
    select clock.hour_at
    from days
    cross join starts
    cross join generate_series(
        starts.begins_at, least(starts.ends_at - interval '1 second', now()), '1 hour'
    ) as clock (hour_at)
    where days.by_hour
)
select points.at as "time", coalesce(summed.pageviews, 0) as pageviews, coalesce(summed.visitors, 0) as visitors
from points
left join summed using (at)
order by "time"
