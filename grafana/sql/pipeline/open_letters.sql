-- pipeline/open_letters.sql: hits in dead letters that nobody has replayed or dropped, but for those that came too late.
select coalesce(sum(hits), 0) as open_letters
from open_letters
having exists (select from ledger)
