-- alerts/missing.sql: sites whose pageviews of missing pages are, today, five times those of a usual whole day, and 30 at least.
-- Usual is the mean of the last 14 days, seven at least, as far as the site goes back. The page is that with the most
-- pageviews beyond its own mean, the referrer the one that led to it most often.
-- Days are looked up one by one: the key of a rollup begins with the day.
with busy as (
    select m.site_id, m.day, sum(m.pageviews) as pageviews
    from installation
    join rollup_missing m on m.day = (now() at time zone report_timezone)::date
    group by m.site_id, m.day
    having sum(m.pageviews) >= 30
), bursts as (
    select busy.*, coalesce(before.pageviews, 0)::numeric / seen.days as usual
    from busy
    cross join lateral (
        select max(ago) as days
        from generate_series(1, 14) as ago
        join rollup_traffic r on r.day = busy.day - ago and r.site_id = busy.site_id
        where r.pageviews > 0
    ) seen
    cross join lateral (
        select sum(m.pageviews) as pageviews
        from generate_series(1, 14) as ago
        join rollup_missing m on m.day = busy.day - ago and m.site_id = busy.site_id
    ) before
    where seen.days >= 7 and busy.pageviews >= 5.0 * coalesce(before.pageviews, 0) / seen.days
)
select site, left(p.host || p.path, 200) as page, left(coalesce(led.referrer, 'no referrer'), 200) as referrer,
       bursts.pageviews::int as pageviews, round(bursts.usual)::int as usual
from bursts
join sites using (site_id)
cross join lateral (
    select m.page_id
    from generate_series(0, 14) as ago
    join rollup_missing m on m.day = bursts.day - ago and m.site_id = bursts.site_id
    group by m.page_id
    order by sum(case ago when 0 then m.pageviews else -m.pageviews / 14.0 end) desc, m.page_id
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
order by site
