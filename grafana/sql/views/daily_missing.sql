-- views/daily_missing.sql: the 100 pairs of missing page and referrer with the most pageviews.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select host, path, referrer, sum(pageviews) as pageviews
from daily_missing
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by host, path, referrer
order by pageviews desc, host, path, referrer
limit 100
