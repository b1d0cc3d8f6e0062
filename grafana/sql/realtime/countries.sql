-- realtime/countries.sql: every country of the last 30 minutes, and those pageviews whose country is unknown.
with days as materialized (
    select ((now() - interval '30 minutes') at time zone report_timezone)::date as first_day,
           (now() at time zone report_timezone)::date as last_day
    from installation
), found as (
    select country, count(*) as pageviews, count(distinct session_id) as visitors
    from explore_hits
    where day in ((select first_day from days), (select last_day from days))
      and received_at >= date_trunc('minute', now()) - interval '29 minutes'
      and event = 'pageview'
      and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
      and ('__all__' in ($site) or site in ($site))
    group by country
)
select coalesce(c.flag, '🏳') as flag, coalesce(c.name, found.country, 'Unknown') as name,
       found.pageviews, found.visitors, coalesce(found.country, 'XX') as country
from found
left join countries c on c.country = found.country
order by found.pageviews desc, found.visitors desc, name
