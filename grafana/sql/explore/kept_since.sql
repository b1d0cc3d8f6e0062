-- explore/kept_since.sql: the oldest day of which there are single hits, and whether the range begins before.
with oldest as (
    select days.day
    from days
    cross join lateral (
        select h.day
        from explore_hits h
        where h.day = days.day and ('__all__' in ($site) or h.site in ($site))
        limit 1
    ) as kept
    order by days.day
    limit 1
)
select to_char(oldest.day, 'YYYY-MM-DD')
       || case when counted.first_day < oldest.day
                    and ($__timeFrom()::timestamptz at time zone i.report_timezone)::date < oldest.day
               then ': the range begins earlier' else '' end as kept_since
from oldest
cross join installation i
cross join (
    select min(day) as first_day from daily_traffic where '__all__' in ($site) or site in ($site)
) counted
