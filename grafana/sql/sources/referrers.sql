-- sources/referrers.sql: the 1,000 referrers with the most pageviews.
-- A link opens the referrer; an address that is none of the web's opens nothing.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select referrer_id, sum(pageviews) as pageviews, sum(visitors) as visitors
    from rollup_referrers
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by referrer_id
    order by pageviews desc, visitors desc, referrer_id
    limit 1000
)
select r.source, coalesce(r.referrer, '–') as referrer, found.pageviews, found.visitors,
       case when r.referrer ~ '^https?://' then r.referrer else 'about:blank' end as referrer_address
from found
join referrers r using (referrer_id)
order by found.pageviews desc, found.visitors desc, r.source, r.referrer
