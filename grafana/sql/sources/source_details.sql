-- sources/source_details.sql: the 1,000 parts of sources with the most pageviews: engines of Search, services of
-- Newsletter.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select source, source_detail, sum(pageviews) as pageviews, sum(visitors) as visitors
from daily_source_details
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by source, source_detail
order by pageviews desc, visitors desc, source, source_detail
limit 1000
