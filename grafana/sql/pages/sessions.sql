-- pages/sessions.sql: sessions of people, and how it compares with as many days before.
with days as materialized (
    select d.*, (select min(day) from daily_sessions where '__all__' in ($site) or site in ($site)) as first_counted
    from days_to_compare($__timeFrom(), $__timeTo()) d
), found as (
    select coalesce(sum(sessions) filter (where t.day >= days.first_day), 0) as sessions,
           coalesce(sum(sessions) filter (where t.day between days.first_day and whole_until), 0) as in_whole_days,
           coalesce(sum(sessions) filter (where t.day < days.first_day), 0) as before
    from days
    join daily_sessions t on t.day between before_from and last_day
    where '__all__' in ($site) or t.site in ($site)
)
select sessions, change, arrow_colour(change, 'more') as colour
from found
cross join days
cross join lateral (
    select case when first_counted > before_from then 'counted since ' || to_char(first_counted, 'YYYY-MM-DD')
                else change_in_words(in_whole_days, before, is_open) || remark end
) as words (change)
where first_counted is not null
