-- alerts/ledger.sql: where the ledger does not close.
select count(*) as differences from ledger_differences
