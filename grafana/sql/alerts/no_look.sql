-- alerts/no_look.sql: 1 when no enricher has looked at the stream for a minute, though one has before.
select count(*) as silent from stream_look where looked_at < now() - interval '1 minute'
