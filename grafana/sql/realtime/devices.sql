-- realtime/devices.sql: pageviews and visitors of the last 30 minutes, by device.
with days as materialized (
    select distinct (moment at time zone report_timezone)::date as day
    from installation cross join (values (now() - interval '30 minutes'), (now())) as ends (moment)
)
select coalesce(device, 'Unknown') as device, count(*) as pageviews, count(distinct session_id) as visitors
from days
cross join lateral (
    select *
    from explore_hits h
    where h.day = days.day and h.received_at >= date_trunc('minute', now()) - interval '29 minutes'
    offset 0
) as hits
where event = 'pageview'
  and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
  and ('__all__' in ($site) or site in ($site))
group by hits.device
order by pageviews desc, hits.device
