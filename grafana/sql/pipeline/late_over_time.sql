-- pipeline/late_over_time.sql: hits that were stored more than 60 s after they came, by the hour in which they came.
select hour_starts_at as "time", sum(hits) as late
from late_hits
where hour_starts_at between $__timeFrom()::timestamptz and $__timeTo()::timestamptz
  and ('__all__' in ($site) or site in ($site))
group by hour_starts_at
order by hour_starts_at
