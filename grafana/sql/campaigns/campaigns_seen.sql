-- campaigns/campaigns_seen.sql: how many campaigns had a pageview.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select count(distinct utm_campaign) as campaigns
from daily_campaigns
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
having exists (select from daily_traffic)
