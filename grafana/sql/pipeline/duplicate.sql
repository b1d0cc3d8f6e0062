-- pipeline/duplicate.sql: hits whose id was stored before on the same site and day.
with days as (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select coalesce(sum(duplicate), 0) as duplicate
from ledger
where day between (select first_day from days) and (select last_day from days)
  and ('__all__' in ($site) or site in ($site))
having exists (select from ledger)
