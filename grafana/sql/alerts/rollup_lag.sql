-- alerts/rollup_lag.sql: how long the oldest of the stored hits waits to be counted in the rollups, in seconds.
select coalesce(extract(epoch from max(now() - stored_at)), 0)::int as seconds from rollup_pending
