-- overview/last_hit.sql: how long ago the newest hit of any site and kind was received.
-- Hits from before ingest_minutes was kept, and imported ones, are in no minute: then the newest hour with hits tells.
with minutes as (
    select max(newest_received_at) as newest_at from ingest_minutes
), newest as (
    select extract(epoch from clock_timestamp() - coalesce(
        newest_at, (select max(hour_starts_at) from hourly_traffic)
    )) as seconds
    from minutes
)
select case when seconds < 120 then greatest(round(seconds), 0) || ' s ago'
            when seconds < 7200 then round(seconds / 60) || ' min ago'
            when seconds < 172800 then round(seconds / 3600) || ' h ago'
            else round(seconds / 86400) || ' days ago' end as last_hit
from newest
where seconds is not null
