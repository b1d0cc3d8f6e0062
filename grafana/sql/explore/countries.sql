-- explore/countries.sql: every country, and those hits whose country is unknown.
-- Where nothing is chosen but sites, the rollups know; only one of both is read.
-- By session first, which both cores do: a sixth less time for a million hits than with distinct sessions.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select coalesce(country, 'XX') as country,
           sum(hits) as pageviews, count(session_id) as visitors
    from (
        select country, session_id, count(*) as hits
        from explore_hits
        where day between ($__timeFrom()::timestamptz at time zone 'UTC')::date - 1
                      and ($__timeTo()::timestamptz at time zone 'UTC')::date + 1
          and (day < (select first_day from days)) is not true and (day > (select last_day from days)) is not true
          and event = 'pageview'
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
        group by country, session_id
    ) as sessions
    group by coalesce(country, 'XX')
    union all
    select coalesce(country, 'XX') as country, sum(pageviews), sum(visitors)
    from daily_countries
    cross join days
    where '$traffic' = 'people' and '__all__' in ($page) and '__all__' in ($source) and '__all__' in ($channel)
      and '__all__' in ($country) and '__all__' in ($device) and '__all__' in ($campaign)
      and day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by coalesce(country, 'XX')
)
select coalesce(c.flag, '🏳') as flag,
       coalesce(c.name, case when found.country = 'XX' then 'Unknown' else found.country end) as name,
       found.pageviews, found.visitors, found.country
from found
left join countries c on c.country = found.country
order by found.pageviews desc, found.visitors desc, name
