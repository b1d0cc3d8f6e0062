-- bots/left_out.sql: requests that the pixel did not count, by reason. No site: none could be told.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select outcome, reason,
       case reason
           when 'local-host' then 'the page is on a local machine or network'
           when 'excluded-host' then 'the host is in EXCLUDED_HOSTS'
           when 'unknown-site' then 'the site is not in SITES'
           when 'prefetch' then 'loaded ahead of a click that may never come'
           when 'privacy-signal' then 'the visitor asks not to be counted'
           when 'url' then 'no address of a page'
           when 'id' then 'the id is no UUID'
           when 'body' then 'the body is too large, too slow or unreadable'
           when 'query' then 'the query is too long'
           when 'rate-limit' then 'more than RATE_LIMIT from one client'
           when 'too-many' then 'too many requests at once'
           when 'not-durable' then 'neither Redis nor the disk could take it'
           else '–'
       end as meaning,
       coalesce(nullif(site, ''), '–') as site, sum(hits) as requests
from daily_ledger_reasons
cross join days
where day between days.first_day and days.last_day
  and outcome in ('excluded', 'refused') and ('__all__' in ($site) or site in ($site))
group by outcome, reason, daily_ledger_reasons.site
order by requests desc, outcome, reason, daily_ledger_reasons.site
