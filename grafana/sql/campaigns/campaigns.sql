-- campaigns/campaigns.sql: the 1,000 campaigns with the most pageviews, each with the source and medium of its links.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(utm_campaign, '–') as utm_campaign, coalesce(utm_source, '–') as utm_source,
       coalesce(utm_medium, '–') as utm_medium, sum(pageviews) as pageviews, sum(visitors) as visitors
from daily_campaigns
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by daily_campaigns.utm_campaign, daily_campaigns.utm_source, daily_campaigns.utm_medium
order by pageviews desc, visitors desc, utm_campaign, utm_source, utm_medium
limit 1000
