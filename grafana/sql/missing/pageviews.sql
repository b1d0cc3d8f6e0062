-- missing/pageviews.sql: pageviews of missing pages.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(pageviews), 0) as pageviews
from rollup_missing
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
having exists (select from rollup_missing)
