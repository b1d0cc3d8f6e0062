-- pipeline/pending_seconds.sql: how long the oldest of them has waited.
select coalesce(extract(epoch from max(clock_timestamp() - stored_at)), 0) as pending_seconds
from rollup_pending
where '__all__' in ($site) or site in ($site)
having exists (select from ledger)
