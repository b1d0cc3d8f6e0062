-- views/daily_systems.sql: the operating systems.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select os, sum(pageviews) as pageviews, sum(visitors) as visitors
from daily_systems
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by os
order by pageviews desc, os
limit 100
