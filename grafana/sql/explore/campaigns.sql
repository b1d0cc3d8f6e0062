-- explore/campaigns.sql: the 100 campaigns with the most pageviews, with all that their links say.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select utm_campaign, utm_source, utm_medium, utm_term, utm_content,
           count(*) as pageviews, count(distinct session_id) as visitors
    from explore_hits
    where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date - 1
                  and ($__timeTo()::timestamptz at time zone 'UTC')::date + 1
      and (day < (select first_day from days)) is not true and (day > (select last_day from days)) is not true
      and event = 'pageview' and coalesce(utm_source, utm_medium, utm_campaign, utm_term, utm_content) is not null
      and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
      and ('__all__' in ($site) or site in ($site))
      and ('__all__' in ($page) or host || path in ($page))
      and ('__all__' in ($source) or source in ($source) or source is null and channel in ($source))
      and ('__all__' in ($channel) or channel in ($channel))
      and ('__all__' in ($country) or country in ($country) or 'XX' in ($country) and country is null)
      and ('__all__' in ($device) or device in ($device) or 'Unknown' in ($device) and device is null)
      and ('__all__' in ($campaign) or utm_campaign in ($campaign) or '–' in ($campaign) and utm_campaign is null)
    group by utm_campaign, utm_source, utm_medium, utm_term, utm_content
)
select coalesce(utm_campaign, '–') as utm_campaign, coalesce(utm_source, '–') as utm_source,
       coalesce(utm_medium, '–') as utm_medium, coalesce(utm_term, '–') as utm_term,
       coalesce(utm_content, '–') as utm_content, pageviews, visitors
from found
order by pageviews desc, visitors desc, utm_campaign, utm_source, utm_medium, utm_term, utm_content
limit 100
