-- variables/country.sql: every country with a pageview, those with the most first. XX: unknown.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select coalesce(country, 'XX') as country, sum(pageviews) as pageviews
    from daily_countries
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by coalesce(country, 'XX')
)
select coalesce(c.flag || ' ' || c.name, replace(found.country, 'XX', 'Unknown'), 'No data yet') as __text,
       coalesce(found.country, 'No data yet') as __value
from (select) as always
left join found on true
left join countries c on c.country = found.country
order by found.pageviews desc, found.country
