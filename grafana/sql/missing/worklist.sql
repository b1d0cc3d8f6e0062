-- missing/worklist.sql: the 500 missing pages with the most pageviews: those that are missing still first.
-- First and last seen, and with them the status, are of all days. On the last day of a missing page its other
-- pageviews may be earlier or later; on a day after it none was missing, so that any pageview says that it is back.
-- Pairs of page and referrer are compared by numbers: place is that of the referrer among all, by its text.
with days as materialized (
    select d.*, (select min(day) from daily_traffic where '__all__' in ($site) or site in ($site)) as first_counted,
           (now() at time zone report_timezone)::date as today
    from days_to_compare($__timeFrom(), $__timeTo()) d
    cross join installation
), asked as (
    select page_id,
           sum(pageviews) filter (where day >= first_day) as pageviews,
           coalesce(sum(pageviews) filter (where day between first_day and whole_until), 0) as in_whole_days,
           coalesce(sum(pageviews) filter (where day < first_day), 0) as before
    from rollup_missing
    cross join days
    where day between before_from and last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by page_id
    having sum(pageviews) filter (where day >= first_day) > 0
    order by pageviews desc, page_id
    limit 500
), found as materialized (
    select asked.*, seen.first_seen, seen.last_seen
    from asked
    cross join lateral (
        select min(day) as first_seen, max(day) as last_seen from rollup_missing m where m.page_id = asked.page_id
    ) as seen
), back as (
    select page_id, min(day) as back_since
    from found
    join rollup_pages r using (page_id)
    where r.day > (select min(last_seen) from found) and r.day > last_seen and r.pageviews > 0
    group by page_id
), counted as materialized (
    select page_id, referrer_id, sum(m.pageviews) as pageviews
    from rollup_missing m
    cross join days
    join found using (page_id)
    where m.day between days.first_day and days.last_day
    group by page_id, referrer_id
), named as materialized (
    select referrer_id, r.referrer, dense_rank() over (order by r.referrer) as place,
           case when r.referrer ~ '^https?://'
                then lower(split_part(translate(split_part(r.referrer, '/', 3), '?#', '::'), ':', 1)) end as host
    from (select distinct referrer_id from counted) used
    join referrers r using (referrer_id)
    where r.referrer is not null
), links as materialized (
    select page_id, place, sum(counted.pageviews) as pageviews, min(host) as host
    from counted
    join named using (referrer_id)
    group by page_id, place
), linked as (
    select page_id, count(*) - 1 as others, max(links.pageviews) as most,
           coalesce(sum(links.pageviews) filter (
               where links.host in (p.host, s.site) or right(links.host, length(s.site) + 1) = '.' || s.site
           ), 0) as own_pageviews
    from links
    join pages p using (page_id)
    join sites s using (site_id)
    group by page_id
), first_links as (
    select page_id, linked.others, linked.own_pageviews, min(links.place) as place
    from linked
    join links using (page_id)
    where links.pageviews = linked.most
    group by page_id, linked.others, linked.own_pageviews
), addressed as (
    select p.host, p.path, found.*, back.back_since, days.today,
           case when first_counted > before_from then '–' else change_in_words(in_whole_days, before, is_open) end as change,
           case when back_since is not null then 3 when today - last_seen >= 7 then 2 else 1 end as rank,
           page_address(p.host, p.path) as page_address
    from found
    join pages p using (page_id)
    left join back using (page_id)
    cross join days
)
select host, path,
       case rank when 3 then 'back since ' || to_char(back_since, 'YYYY-MM-DD')
                 when 2 then 'quiet for ' || today - last_seen || ' days'
                 else 'still missing' end as status,
       pageviews, change,
       coalesce(referrer || case others when 0 then '' when 1 then ' + 1 other' else ' + ' || others || ' others' end,
                '–') as referrer,
       coalesce(own_pageviews, 0) as own_pageviews,
       to_char(first_seen, 'YYYY-MM-DD') as first_day, to_char(last_seen, 'YYYY-MM-DD') as last_day,
       page_address, host || path as page,
       case when referrer ~ '^https?://' then referrer else page_address end as referrer_address
from addressed
left join first_links using (page_id)
left join (select distinct place, referrer from named) as referring using (place)
order by rank, pageviews desc, host, path
