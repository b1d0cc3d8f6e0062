-- pipeline/ledger.sql: what became of the hits of each day and site. No site: none could be told.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select to_char(day, 'YYYY-MM-DD') as day, coalesce(nullif(site, ''), '–') as site,
       accepted, stored, duplicate, dead_lettered, pending,
       accepted - stored - duplicate - dead_lettered - pending as unaccounted,
       excluded, refused
from daily_ledger
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
order by day desc, daily_ledger.site
