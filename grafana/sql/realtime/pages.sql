-- realtime/pages.sql: the 50 pages with the most pageviews in the last 30 minutes.
-- Titles are looked up for those alone, by the key of the page. A path is kept decoded: what means something else
-- in an address is encoded again for the link.
with days as materialized (
    select distinct (moment at time zone report_timezone)::date as day
    from installation cross join (values (now() - interval '30 minutes'), (now())) as ends (moment)
), found as (
    select site, host, path, session_id, count(*) as pageviews, max(received_at) as last_at
    from days
    cross join lateral (
        select *
        from explore_hits h
        where h.day = days.day and h.received_at >= date_trunc('minute', now()) - interval '29 minutes'
        offset 0
    ) as hits
    where event = 'pageview'
      and not is_me and ('$traffic' = 'all' or is_bot = ('$traffic' = 'bots'))
      and ('__all__' in ($site) or site in ($site))
    group by site, host, path, session_id
), first as (
    select site, host, path, sum(pageviews) as pageviews, count(session_id) as visitors, max(last_at) as last_at
    from found
    group by site, host, path
    order by pageviews desc, last_at desc, host, path
    limit 50
)
select first.host, first.path, coalesce(t.title, '–') as title, first.pageviews, first.visitors,
       case when first.last_at > now() - interval '1 minute' then greatest(0, floor(extract(epoch from now() - first.last_at))) || ' s'
            else floor(extract(epoch from now() - first.last_at) / 60) || ' min' end as ago,
       page_address(first.host, first.path) as page_address,
       first.host || first.path as page
from first
join sites s using (site)
left join pages p on p.key = row_key(s.site_id::text, first.host, first.path)
left join rollup_titles n using (page_id)
left join titles t using (title_id)
order by first.pageviews desc, first.last_at desc, first.host, first.path
