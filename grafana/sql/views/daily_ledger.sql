-- views/daily_ledger.sql: what became of the hits of each day.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select day, sum(accepted) as accepted, sum(stored) as stored, sum(duplicate) as duplicate,
       sum(dead_lettered) as dead_lettered, sum(pending) as pending, sum(excluded) as excluded, sum(refused) as refused
from daily_ledger
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by day
order by day
