-- restore: empty
-- What would be lost if a backup came in its place; no row: nothing. Of tables that each version has.
select what, number
from (
    select 'hits' as what, count(*) as number from hits
    union all select 'counted days', count(*) from rollup_traffic
    union all select 'days in the ledger', count(*) from ledger
    union all select 'dead letters', count(*) from dead_letters
) as found
where number > 0
