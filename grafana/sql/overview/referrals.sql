-- overview/referrals.sql: the 100 pairs of referrer and page with the most pageviews.
-- Texts are looked up for those alone. A link opens the referrer; where that is no web address, the page.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select referrer_id, page_id, sum(pageviews) as pageviews, sum(visitors) as visitors
    from rollup_referrals
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
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
