-- views/daily_referrers.sql: the 100 referrers with the most pageviews.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select source, referrer, sum(pageviews) as pageviews, sum(visitors) as visitors
from daily_referrers
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by source, referrer
order by pageviews desc, source, referrer
limit 100
