-- overview/last_hit.sql: how long ago the newest hit of any site and kind was received.
with newest as (
    select extract(epoch from clock_timestamp() - max(newest_received_at)) as seconds from ingest_minutes
)
select case when seconds is null then 'long ago'
            when seconds < 120 then greatest(round(seconds), 0) || ' s ago'
            when seconds < 7200 then round(seconds / 60) || ' min ago'
            when seconds < 172800 then round(seconds / 3600) || ' h ago'
            else round(seconds / 86400) || ' days ago' end as last_hit
from newest
where exists (select from daily_traffic)
