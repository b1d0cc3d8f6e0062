-- views/daily_pages.sql: the 100 pages with the most pageviews.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select host, path, title, sum(pageviews) as pageviews, sum(visitors) as visitors
from daily_pages
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by host, path, title
order by pageviews desc, host, path, title
limit 100
