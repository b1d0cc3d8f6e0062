-- alerts/missing.sql: sites whose pageviews of missing pages are, today, five times those of a usual whole day, and 30 at least.
-- Usual is the mean of the last 14 days, seven at least, as far as the site goes back. The page is that with the most
-- pageviews beyond its own mean, the referrer the one that led to it most often.
with today as materialized (
    select (now() at time zone report_timezone)::date as day
    from installation
), seen as (
    select site_id, today.day, today.day - min(r.day) as days
    from rollup_traffic r
    cross join today
    where r.day between today.day - 14 and today.day and r.pageviews > 0
    group by site_id, today.day
    having today.day - min(r.day) >= 7
), bursts as (
    select site_id, seen.day,
           sum(m.pageviews) filter (where m.day = seen.day) as pageviews,
           coalesce(sum(m.pageviews) filter (where m.day < seen.day), 0) / seen.days as usual
    from seen
    join rollup_missing m using (site_id)
    where m.day between seen.day - 14 and seen.day
    group by site_id, seen.day, seen.days
)
select site, left(p.host || p.path, 200) as page, left(coalesce(led.referrer, 'no referrer'), 200) as referrer,
       bursts.pageviews::int as pageviews, round(bursts.usual)::int as usual
from bursts
join sites using (site_id)
cross join lateral (
    select m.page_id
    from rollup_missing m
    where m.site_id = bursts.site_id and m.day between bursts.day - 14 and bursts.day
    group by m.page_id
    order by coalesce(sum(m.pageviews) filter (where m.day = bursts.day), 0)
             - coalesce(sum(m.pageviews) filter (where m.day < bursts.day), 0) / 14.0 desc, m.page_id
    limit 1
) most
join pages p using (page_id)
cross join lateral (
    select r.referrer
    from rollup_missing m
    join referrers r using (referrer_id)
    where m.site_id = bursts.site_id and m.day = bursts.day and m.page_id = most.page_id
    group by r.referrer
    order by sum(m.pageviews) desc, r.referrer
    limit 1
) led
where bursts.pageviews >= greatest(30, 5 * bursts.usual)
order by site
