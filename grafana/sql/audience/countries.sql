-- audience/countries.sql: every country, and those hits whose country is unknown.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select coalesce(country, 'XX') as country, sum(visitors) as visitors, sum(pageviews) as pageviews
    from daily_countries
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by coalesce(country, 'XX')
)
select coalesce(c.flag, '🏳') as flag,
       coalesce(c.name, case when found.country = 'XX' then 'Unknown' else found.country end) as name,
       found.visitors,
       coalesce(round(found.visitors * 100.0 / nullif(sum(found.visitors) over (), 0), 1), 0) as share,
       found.pageviews,
       found.country
from found
left join countries c on c.country = found.country
order by found.visitors desc, found.pageviews desc, name
