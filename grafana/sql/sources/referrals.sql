-- sources/referrals.sql: the 100 pairs of referrer and page with the most pageviews.
-- A link opens the referrer; where that is no web address, the page.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), addressed as (
    select r.source, r.referrer, p.host || p.path as page, t.title, found.pageviews, found.visitors,
           page_address(p.host, p.path) as page_address
    from days
    cross join lateral frequent_referrals(days.first_day, days.last_day, array[$site]) found
    join referrers r using (referrer_id)
    join pages p using (page_id)
    left join rollup_titles n using (page_id)
    left join titles t using (title_id)
)
select source, coalesce(referrer, '–') as referrer, coalesce(title, '–') as title, page,
       pageviews, visitors,
       case when referrer ~ '^https?://' then referrer else page_address end as referrer_address, page_address
from addressed
order by pageviews desc, visitors desc, source, addressed.referrer, page
