-- missing/share.sql: which part of all pageviews ended on a missing page, in per cent, and of how many. Without a pageview:
-- no row.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), every as (
    select sum(pageviews) as pageviews
    from daily_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
), missing as (
    select coalesce(sum(pageviews), 0) as pageviews
    from rollup_missing
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
), figure as (
    select 100.0 * missing.pageviews / every.pageviews as share,
           'of ' || to_char(every.pageviews, 'FM999,999,999,990') || ' pageviews' as change
    from every
    cross join missing
    where every.pageviews > 0
)
select share, change, 'text' as colour
from figure
