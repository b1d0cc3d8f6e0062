-- audience/languages.sql: the 20 languages with the most visitors, and all others in one row.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
), found as (
    select coalesce(language, 'Unknown') as language, sum(visitors) as visitors, sum(pageviews) as pageviews
    from daily_languages
    cross join days
    where day between days.first_day and days.last_day
      and ('__all__' in ($site) or site in ($site))
    group by coalesce(language, 'Unknown')
), placed as (
    select *, least(row_number() over (order by visitors desc, pageviews desc, language), 21) as place
    from found
)
select case when count(*) = 1 then min(language) else '+ ' || count(*) || ' others' end as language,
       sum(visitors) as visitors,
       coalesce(round(sum(visitors) * 100 / nullif(sum(sum(visitors)) over (), 0), 1), 0) as share,
       sum(pageviews) as pageviews
from placed
group by place
order by place
