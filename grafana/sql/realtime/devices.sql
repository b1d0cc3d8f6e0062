-- realtime/devices.sql: pageviews and visitors of the last 30 minutes, by device.
with days as materialized (
    select ((now() - interval '30 minutes') at time zone report_timezone)::date as first_day,
           (now() at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(device, 'Unknown') as device, count(*) as pageviews, count(distinct session_id) as visitors
from explore_hits
where day in ((select first_day from days), (select last_day from days))
  and received_at >= date_trunc('minute', now()) - interval '29 minutes'
  and event = 'pageview'
  and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
  and ('__all__' in ($site) or site in ($site))
group by explore_hits.device
order by pageviews desc, explore_hits.device
