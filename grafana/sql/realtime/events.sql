-- realtime/events.sql: the 50 most frequent custom events of the last 30 minutes.
with days as materialized (
    select distinct (moment at time zone report_timezone)::date as day
    from installation cross join (values (now() - interval '30 minutes'), (now())) as ends (moment)
), found as (
    select event, count(*) as events, count(distinct session_id) as sessions, max(received_at) as last_at
    from days
    cross join lateral (
        select *
        from explore_hits h
        where h.day = days.day and h.received_at >= date_trunc('minute', now()) - interval '29 minutes'
        offset 0
    ) as hits
    where event <> 'pageview'
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
