-- realtime/last_hit.sql: seconds since the last hit, and its site.
-- Looked for from the last hour on that has one, which the rollup knows: on a quiet site it may be days ago.
with last_hour as materialized (
    select day, hour_starts_at
    from hourly_traffic
    where ('$traffic' <> 'bots' and pageviews > 0 or '$traffic' <> 'people' and bot_hits > 0)
      and ('__all__' in ($site) or site in ($site))
    order by day desc, hour_starts_at desc
    limit 1
), figure as (
    select greatest(0, floor(extract(epoch from now() - received_at))) as seconds, 'on ' || site as change
    from explore_hits
    where day >= (select day from last_hour)
      and received_at >= (select hour_starts_at from last_hour)
      and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
      and ('__all__' in ($site) or site in ($site))
    order by received_at desc
    limit 1
)
select seconds, change, 'text' as colour
from figure
