-- pipeline/differences.sql: sites' days of which the ledger does not close, whatever the range.
select count(*) as differences
from ledger_differences
having exists (select from ledger)
