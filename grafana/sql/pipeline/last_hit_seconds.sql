-- pipeline/last_hit_seconds.sql: since the newest stored hit was received, of any site.
select greatest(0, extract(epoch from clock_timestamp() - max(newest_received_at))) as last_hit_seconds
from ingest_minutes
where minute >= (select max(minute) from ingest_minutes) - interval '1 hour'
having count(*) > 0
