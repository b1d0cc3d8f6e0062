-- report/headline.sql: figures of the range, and how they compare with as many days before, as the dashboards compare.
with days as materialized (
    select d.*, (select min(day) from daily_traffic where '__all__' in ($site) or site in ($site)) as first_counted
    from days_to_compare($__timeFrom(), $__timeTo()) d
), figures (place, figure, good) as (
    values (1, 'pageviews', 'more'), (2, 'visitors', 'more'), (3, 'missing_pageviews', 'fewer'), (4, 'bot_hits', 'neither'),
           (5, 'anonymous_pageviews', 'neither'), (6, 'owner_hits', 'neither')
), cells as (
    select t.day, cell.figure, cell.hits
    from days
    join daily_traffic t on t.day between before_from and last_day
    cross join lateral (
        values ('pageviews', pageviews), ('visitors', visitors), ('bot_hits', bot_hits),
               ('anonymous_pageviews', anonymous_pageviews), ('owner_hits', owner_hits)
    ) as cell (figure, hits)
    where '__all__' in ($site) or t.site in ($site)
    union all
    select day, 'missing_pageviews', pageviews
    from rollup_missing
    cross join days
    where day between days.before_from and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
), found as (
    select figures.place, figures.figure, figures.good,
           coalesce(sum(hits) filter (where cells.day >= days.first_day), 0) as value,
           coalesce(sum(hits) filter (where cells.day between days.first_day and whole_until), 0) as compared,
           coalesce(sum(hits) filter (where cells.day < days.first_day), 0) as before
    from figures
    cross join days
    left join cells using (figure)
    group by figures.place, figures.figure, figures.good
)
select found.figure, found.value, found.compared,
       case when first_counted <= before_from then found.before end as before,
       days.is_open, words.change as words, coalesce(arrow_colour(words.change, found.good), 'text') as colour
from found
cross join days
cross join lateral (
    select case when first_counted is null then 'No data yet'
                when first_counted > before_from then 'counted since ' || to_char(first_counted, 'YYYY-MM-DD')
                else change_in_words(found.compared, found.before, is_open) || remark end
) as words (change)
order by found.place
