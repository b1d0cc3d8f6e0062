-- overview/referrals.sql: the 100 pairs of referrer and page with the most pageviews.
-- A link opens the referrer; where that is no web address, the page.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select site, source, referrer, host, path, sum(pageviews) as pageviews, sum(visitors) as visitors
    from daily_referrals
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by site, source, referrer, host, path
    order by pageviews desc, visitors desc, source, referrer, host, path
    limit 100
), addressed as (
    select found.source, found.referrer, found.host, found.path, t.title, found.pageviews, found.visitors,
           'https://' || found.host || regexp_replace(replace(
               regexp_replace(found.path, '%(?![0-9A-Fa-f]{2})', '%25', 'g'), '?', '%3F'),
               '#(?![/!])', '%23', 'g'
           ) as page_address
    from found
    left join rollup_titles t on (t.site, t.host, t.path) = (found.site, found.host, found.path)
)
select source, coalesce(referrer, '–') as referrer, host, path, coalesce(title, '–') as title,
       pageviews, visitors,
       case when referrer ~ '^https?://' then referrer else page_address end as referrer_address, page_address
from addressed
order by pageviews desc, visitors desc, source, referrer, host, path
