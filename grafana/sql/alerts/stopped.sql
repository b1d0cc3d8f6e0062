-- alerts/stopped.sql: enrichers that bury no more, and are still there.
select count(*) as enrichers from enricher_stops where tried_at > now() - interval '5 minutes'
