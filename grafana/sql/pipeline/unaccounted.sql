-- pipeline/unaccounted.sql: accepted hits that are neither stored nor duplicate nor dead-lettered: always 0.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(accepted - stored - duplicate - dead_lettered), 0) as unaccounted
from ledger
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
having exists (select from ledger)
