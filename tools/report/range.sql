-- report/range.sql: the days of the range, those that are compared, and since when there are figures of these sites.
select first_day, last_day, whole_until as compared_until, before_from as before_first_day,
       is_open or whole_until < last_day as has_open_day,
       (select min(day) from daily_traffic where '__all__' in ($site) or site in ($site)) as counted_since
from days_to_compare($__timeFrom(), $__timeTo())
