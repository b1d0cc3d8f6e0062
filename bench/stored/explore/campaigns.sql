-- explore/campaigns.sql: campaigns by mail in a country.
select utm_source, utm_campaign, utm_content, count(*) as pageviews, count(distinct session_id) as visitors
from explore_hits
where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date and ($__timeTo()::timestamptz at time zone 'UTC')::date
  and not is_bot and not is_me and event = 'pageview'
  and utm_medium = 'email' and country in ('DE', 'AT', 'CH') and device = 'desktop'
group by utm_source, utm_campaign, utm_content
order by visitors desc, utm_source, utm_campaign, utm_content
limit 25
