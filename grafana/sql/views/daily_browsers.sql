-- views/daily_browsers.sql: the browsers.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select browser, sum(pageviews) as pageviews, sum(visitors) as visitors
from daily_browsers
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by browser
order by pageviews desc, browser
limit 100
