-- pipeline/duplicate.sql: hits whose id was stored before on the same site and day.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(duplicate), 0) as duplicate
from ledger
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
having exists (select from ledger)
