-- views/hourly_traffic.sql: pageviews, and visitors active, of each hour.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select hour_starts_at, sum(pageviews) as pageviews, sum(visitors) as visitors
from hourly_traffic
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by hour_starts_at
order by hour_starts_at
