-- variables/campaign.sql: the 500 campaigns with the most pageviews; –: of no name.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select coalesce(utm_campaign, '–') as campaign, sum(pageviews) as pageviews
    from daily_campaigns
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by coalesce(utm_campaign, '–')
    order by pageviews desc, campaign
    limit 500
)
select coalesce(campaign, 'No data yet') as campaign
from (select) as always
left join found on true
order by found.pageviews desc, found.campaign
