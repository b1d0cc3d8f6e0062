-- campaigns/share.sql: of 100 pageviews, those that a campaign brought.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), brought as (
    select coalesce(sum(pageviews), 0) as pageviews
    from daily_campaigns
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
), counted as (
    select sum(pageviews) as pageviews
    from daily_traffic
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
)
select round(brought.pageviews * 100.0 / counted.pageviews, 1) as share
from brought
cross join counted
where counted.pageviews > 0
