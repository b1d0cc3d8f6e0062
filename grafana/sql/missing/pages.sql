-- missing/pages.sql: different missing pages that were asked for, and how it compares with as many days before.
with days as materialized (
    select d.*, (select min(day) from daily_traffic where '__all__' in ($site) or site in ($site)) as first_counted
    from days_to_compare($__timeFrom(), $__timeTo()) d
), asked as (
    select page_id, bool_or(day >= days.first_day) as in_range,
           bool_or(day between days.first_day and whole_until) as in_whole_days,
           bool_or(day < days.first_day) as before
    from rollup_missing
    cross join days
    where day between days.before_from and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
    group by page_id
), found as (
    select count(*) filter (where in_range) as pages, count(*) filter (where in_whole_days) as in_whole_days,
           count(*) filter (where before) as before
    from asked
)
select pages, change, arrow_colour(change, 'fewer') as colour
from found
cross join days
cross join lateral (
    select case when first_counted > before_from then 'counted since ' || to_char(first_counted, 'YYYY-MM-DD')
                else change_in_words(found.in_whole_days, before, is_open) || remark end
) as words (change)
where first_counted is not null
