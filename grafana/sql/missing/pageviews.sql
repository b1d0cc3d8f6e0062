-- missing/pageviews.sql: pageviews of missing pages, and how it compares with as many days before.
with days as materialized (
    select d.*, (select min(day) from daily_traffic where '__all__' in ($site) or site in ($site)) as first_counted
    from days_to_compare($__timeFrom(), $__timeTo()) d
), found as (
    select coalesce(sum(pageviews) filter (where day >= days.first_day), 0) as pageviews,
           coalesce(sum(pageviews) filter (where day between days.first_day and whole_until), 0) as in_whole_days,
           coalesce(sum(pageviews) filter (where day < days.first_day), 0) as before
    from rollup_missing
    cross join days
    where day between days.before_from and days.last_day
      and ('__all__' in ($site) or site_id = any(array(select site_id from sites where site in ($site))))
)
select pageviews, change, arrow_colour(change, 'fewer') as colour
from found
cross join days
cross join lateral (
    select case when first_counted > before_from then 'counted since ' || to_char(first_counted, 'YYYY-MM-DD')
                else change_in_words(in_whole_days, before, is_open) || remark end
) as words (change)
where first_counted is not null
