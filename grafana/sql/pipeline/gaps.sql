-- pipeline/gaps.sql: times within the range in which no pixel could take a hit, the newest first.
select to_char(g.began_at at time zone i.report_timezone, 'YYYY-MM-DD HH24:MI') as began,
       coalesce(to_char(g.ended_at at time zone i.report_timezone, 'YYYY-MM-DD HH24:MI'), 'not yet') as ended,
       g.seconds
from gaps g
cross join installation i
where g.began_at <= $__timeTo()::timestamptz
  and (g.ended_at is null or g.ended_at >= $__timeFrom()::timestamptz)
order by g.began_at desc
limit 200
