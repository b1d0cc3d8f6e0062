-- alerts/backlog.sql: how long the oldest entry of the stream waits. That nobody looks has an alert of its own.
select coalesce(extract(epoch from now() - max(oldest_at)), 0)::integer as seconds
from stream_look
where looked_at > now() - interval '1 minute'
