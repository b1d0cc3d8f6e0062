-- pages/entries.sql: the 100 pages at which most sessions of a day began.
-- Texts are looked up for those alone.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select page_id, sum(sessions) as sessions, sum(single_page_sessions) as single_page_sessions
    from rollup_entries
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by page_id
    order by sessions desc, page_id
    limit 100
)
select p.host || p.path as page, found.sessions, found.single_page_sessions,
       page_address(p.host, p.path) as page_address
from found
join pages p using (page_id)
order by found.sessions desc, p.host, p.path
