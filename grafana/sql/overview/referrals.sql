-- overview/referrals.sql: the 100 pairs of referrer and page with the most pageviews.
-- There are too many pairs to add up each. A pair has one row a day, so it has at most 2 pageviews on each day without
-- a row of 3 or more (is_often), which one row in ten is: those alone tell which pairs can be among the first 100, and
-- only they are added up. Where the hundredth has too few to tell, all pairs are.
-- A link opens the referrer; where that is no web address, the page.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), counted as materialized (
    select distinct day
    from rollup_traffic
    cross join days
    where day between days.first_day and days.last_day
), often as materialized (
    select site_id, referrer_id, page_id, sum(pageviews) as at_least,
           sum(pageviews - 2) + 2 * (select count(*) from counted) as at_most
    from rollup_referrals
    cross join days
    where day between days.first_day and days.last_day and is_often
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by site_id, referrer_id, page_id
), hundredth as materialized (
    select at_least, at_least > 2 * (select count(*) from counted) as decides
    from often
    order by at_least desc
    offset 99 limit 1
), chosen as materialized (
    select site_id, referrer_id, page_id
    from often
    where (select decides from hundredth) and at_most >= (select at_least from hundredth)
), found as (
    select chosen.referrer_id, chosen.page_id, sum(cell.pageviews) as pageviews, sum(cell.visitors) as visitors
    from chosen
    cross join counted
    cross join lateral (
        select r.pageviews, r.visitors
        from rollup_referrals r
        where (r.day, r.site_id, r.referrer_id, r.page_id)
            = (counted.day, chosen.site_id, chosen.referrer_id, chosen.page_id)
        offset 0
    ) cell
    group by chosen.referrer_id, chosen.page_id
    union all
    select referrer_id, page_id, sum(pageviews), sum(visitors)
    from rollup_referrals
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
      and (select decides from hundredth) is not true
    group by referrer_id, page_id
    order by pageviews desc, visitors desc, referrer_id, page_id
    limit 100
), addressed as (
    select r.source, r.referrer, p.host, p.path, t.title, found.pageviews, found.visitors,
           'https://' || p.host || regexp_replace(replace(
               regexp_replace(p.path, '%(?![0-9A-Fa-f]{2})', '%25', 'g'), '?', '%3F'), '#(?![/!])', '%23', 'g'
           ) as page_address
    from found
    join referrers r using (referrer_id)
    join pages p using (page_id)
    left join rollup_titles n using (page_id)
    left join titles t using (title_id)
)
select source, coalesce(referrer, '–') as referrer, host, path, coalesce(title, '–') as title,
       pageviews, visitors,
       case when referrer ~ '^https?://' then referrer else page_address end as referrer_address, page_address
from addressed
order by pageviews desc, visitors desc, source, addressed.referrer, host, path
