-- missing/missing_pages.sql: the 1,000 pairs of missing page and referrer with the most pageviews.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select host, path, referrer, sum(pageviews) as pageviews, max(day) as last_day
    from daily_missing
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by site, host, path, referrer
    order by pageviews desc, host, path, referrer
    limit 1000
), addressed as (
    select host, path, referrer, pageviews, last_day,
           'https://' || host || regexp_replace(replace(
               regexp_replace(path, '%(?![0-9A-Fa-f]{2})', '%25', 'g'), '?', '%3F'), '#(?![/!])', '%23', 'g'
           ) as page_address
    from found
)
select host, path, coalesce(referrer, '–') as referrer, pageviews,
       to_char(last_day, 'YYYY-MM-DD') as last_day,
       page_address, case when referrer ~ '^https?://' then referrer else page_address end as referrer_address
from addressed
order by pageviews desc, host, path, referrer
