-- views/daily_ledger_reasons.sql: why requests were left out and hits could not become rows.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select outcome, reason, sum(hits) as hits
from daily_ledger_reasons
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by outcome, reason
order by hits desc, outcome, reason
