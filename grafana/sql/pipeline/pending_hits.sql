-- pipeline/pending_hits.sql: hits that are stored and not yet counted in the rollups, of any day.
select coalesce(sum(hits), 0) as pending_hits
from rollup_pending
where '__all__' in ($site) or site in ($site)
having exists (select from ledger)
