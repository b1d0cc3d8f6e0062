-- pipeline/stream_seconds.sql: how long the oldest entry on the stream has waited.
select coalesce(greatest(0, extract(epoch from clock_timestamp() - oldest_at)), 0) as stream_seconds
from stream_look
