-- realtime/events.sql: the 50 most frequent custom events of the last 30 minutes.
with days as materialized (
    select ((now() - interval '30 minutes') at time zone report_timezone)::date as first_day,
           (now() at time zone report_timezone)::date as last_day
    from installation
), found as (
    select event, count(*) as events, count(distinct session_id) as sessions, max(received_at) as last_at
    from explore_hits
    where day in ((select first_day from days), (select last_day from days))
      and received_at >= date_trunc('minute', now()) - interval '29 minutes'
      and event <> 'pageview'
      and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
      and ('__all__' in ($site) or site in ($site))
    group by event
    order by events desc, event
    limit 50
)
select event, events, sessions, case when last_at > now() - interval '1 minute' then greatest(0, floor(extract(epoch from now() - last_at))) || ' s'
            else floor(extract(epoch from now() - last_at) / 60) || ' min' end as ago
from found
order by events desc, event
