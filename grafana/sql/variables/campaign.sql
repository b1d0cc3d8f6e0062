-- variables/campaign.sql: the 500 campaigns with the most pageviews; –: of no name.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(utm_campaign, '–') as campaign
from daily_campaigns
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by coalesce(utm_campaign, '–')
order by sum(pageviews) desc, coalesce(utm_campaign, '–')
limit 500
