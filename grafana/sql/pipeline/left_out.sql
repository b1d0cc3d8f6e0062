-- pipeline/left_out.sql: requests that the pixel did not count, by reason. No site: none could be told.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select outcome, reason, coalesce(nullif(site, ''), '–') as site, sum(hits) as requests
from ledger_left_out
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by outcome, reason, ledger_left_out.site
order by requests desc, outcome, reason, ledger_left_out.site
