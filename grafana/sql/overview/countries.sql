-- overview/countries.sql: every country, and those hits whose country is unknown.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select country, sum(visitors) as visitors, sum(pageviews) as pageviews
    from daily_countries
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by country
)
select coalesce(c.flag, '🏳') as flag, coalesce(c.name, found.country, 'Unknown') as name,
       found.visitors, found.pageviews
from found
left join countries c on c.country = found.country
order by found.visitors desc, found.pageviews desc, name
