-- views/daily_campaigns.sql: the 100 campaigns with the most pageviews.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select utm_source, utm_medium, utm_campaign, sum(pageviews) as pageviews, sum(visitors) as visitors
from daily_campaigns
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by utm_source, utm_medium, utm_campaign
order by pageviews desc, utm_source, utm_medium, utm_campaign
limit 100
