-- pipeline/left_out.sql: requests that the pixel did not count, by reason. No site: none could be told.
with days as (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select outcome, reason, coalesce(nullif(site, ''), '–') as site, sum(hits) as requests
from ledger_left_out
where day between (select first_day from days) and (select last_day from days)
  and ('__all__' in ($site) or site in ($site))
group by outcome, reason, ledger_left_out.site
order by requests desc, outcome, reason, ledger_left_out.site
