-- sources/referrers.sql: the 1,000 referrers with the most pageviews.
-- No visitors: they must not be added over pages.
-- A link opens the referrer; an address that is none of the web's opens nothing.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select source, coalesce(referrer, '–') as referrer, sum(pageviews) as pageviews,
       case when referrer ~ '^https?://' then referrer else 'about:blank' end as referrer_address
from daily_referrals
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
group by source, daily_referrals.referrer
order by pageviews desc, source, referrer
limit 1000
