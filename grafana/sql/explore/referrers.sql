-- explore/referrers.sql: the 100 referrers with the most pageviews. Hits with a source only.
-- Where nothing is chosen but sites, the rollups know; only one of both is read.
-- A link opens the referrer where that is a web address.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), first_referrers as (
    select referrer_id, sum(pageviews) as pageviews, sum(visitors) as visitors
    from rollup_referrers
    cross join days
    where '$traffic' = 'people' and '__all__' in ($page) and '__all__' in ($source) and '__all__' in ($channel)
      and '__all__' in ($country) and '__all__' in ($device) and '__all__' in ($campaign)
      and day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by referrer_id
    order by pageviews desc, visitors desc, referrer_id
    limit 100
), found as (
    select source, referrer,
           count(*) as pageviews, count(distinct session_id) as visitors
    from explore_hits
    where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date - 1
                  and ($__timeTo()::timestamptz at time zone 'UTC')::date + 1
      and (day < (select first_day from days)) is not true and (day > (select last_day from days)) is not true
      and event = 'pageview' and source is not null
      and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
      and ('__all__' in ($site) or site in ($site))
      and ('__all__' in ($page) or host || path in ($page))
      and ('__all__' in ($source) or source in ($source) or source is null and channel in ($source))
      and ('__all__' in ($channel) or channel in ($channel))
      and ('__all__' in ($country) or country in ($country) or 'XX' in ($country) and country is null)
      and ('__all__' in ($device) or device in ($device) or 'Unknown' in ($device) and device is null)
      and ('__all__' in ($campaign) or utm_campaign in ($campaign) or '–' in ($campaign) and utm_campaign is null)
      and not ('$traffic' = 'people' and '__all__' in ($page) and '__all__' in ($source) and '__all__' in ($channel)
               and '__all__' in ($country) and '__all__' in ($device) and '__all__' in ($campaign))
    group by source, referrer
    union all
    select r.source, r.referrer, f.pageviews, f.visitors
    from first_referrers f
    join referrers r using (referrer_id)
)
select source, coalesce(referrer, '–') as referrer, pageviews, visitors,
       case when referrer ~ '^https?://' then referrer else 'about:blank' end as referrer_address
from found
order by pageviews desc, visitors desc, source, found.referrer
limit 100
