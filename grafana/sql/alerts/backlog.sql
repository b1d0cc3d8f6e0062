-- alerts/backlog.sql: entries that wait on the stream. One that nobody looks at has an alert of its own.
select coalesce(max(entries), 0) as entries from stream_look where looked_at > now() - interval '1 minute'
