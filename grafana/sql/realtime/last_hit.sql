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
    select greatest(0, floor(extract(epoch from now() - hits.received_at))) as seconds, 'on ' || hits.site as change
    from last_hour
    cross join lateral (
        select received_at, site
        from explore_hits h
        where h.day >= last_hour.day
          and h.received_at >= last_hour.hour_starts_at
          and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
          and ('__all__' in ($site) or site in ($site))
        order by h.received_at desc
        limit 1
    ) as hits
)
select seconds, change, 'text' as colour
from figure
