-- views/daily_entries.sql: the 100 pages at which most sessions of a day began.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select host, path, sum(sessions) as sessions, sum(single_page_sessions) as single_page_sessions
from daily_entries
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by host, path
order by sessions desc, host, path
limit 100
