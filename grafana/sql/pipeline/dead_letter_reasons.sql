-- pipeline/dead_letter_reasons.sql: hits that could not become rows, by reason. No site: none could be told.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day,
           report_timezone
    from installation
)
select reason, coalesce(nullif(site, ''), '–') as site,
       to_char(max(newest_at) at time zone days.report_timezone, 'YYYY-MM-DD') as newest,
       sum(hits) as hits
from daily_ledger_reasons
cross join days
where outcome = 'dead-lettered'
  and day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by reason, daily_ledger_reasons.site, days.report_timezone
order by hits desc, reason, daily_ledger_reasons.site
