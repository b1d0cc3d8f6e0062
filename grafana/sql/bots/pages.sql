-- bots/pages.sql: the 1,000 pages with the most hits of bots, all events.
-- Texts are looked up for those alone.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select page_id, sum(bot_hits) as bot_hits, max(day) as last_day
    from rollup_bot_pages
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by page_id
    order by bot_hits desc, page_id
    limit 1000
)
select p.host, p.path, found.bot_hits, to_char(found.last_day, 'YYYY-MM-DD') as last_day,
       page_address(p.host, p.path) as page_address
from found
join pages p using (page_id)
order by found.bot_hits desc, p.host, p.path
