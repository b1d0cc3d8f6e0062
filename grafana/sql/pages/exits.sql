-- pages/exits.sql: the 100 pages at which most sessions of a day ended.
-- Texts are looked up for those alone.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select page_id, sum(sessions) as sessions
    from rollup_exits
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by page_id
    order by sessions desc, page_id
    limit 100
)
select p.host || p.path as page, found.sessions,
       page_address(p.host, p.path) as page_address
from found
join pages p using (page_id)
order by found.sessions desc, p.host, p.path
