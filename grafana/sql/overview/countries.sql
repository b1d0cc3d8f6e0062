-- overview/countries.sql: the 12 countries with the most visitors, and the others in one row.
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
), named as (
    select c.flag, coalesce(c.name, found.country, 'Unknown') as name, found.country, found.visitors, found.pageviews,
           row_number() over (order by found.visitors desc, found.pageviews desc, c.name, found.country) as place
    from found
    left join countries c on c.country = found.country
), gathered as (
    select least(place, 13) as place, count(*) as others, sum(visitors) as visitors, sum(pageviews) as pageviews,
           min(coalesce(flag, '🏳')) as flag, min(name) as name, min(country) as country
    from named
    group by least(place, 13)
)
select case when others > 1 then '…' else flag end as flag,
       case when others > 1 then '+ ' || others || ' other countries' else name end as name,
       visitors, pageviews,
       case when others > 1 then 'All' else coalesce(country, 'Unknown') end as country
from gathered
order by place
