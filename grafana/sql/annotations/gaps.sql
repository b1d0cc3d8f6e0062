-- annotations/gaps.sql: times within the range in which no pixel could take a hit.
-- An open one ends where the enricher has looked.
select began_at as time, coalesce(ended_at, began_at + make_interval(secs => seconds)) as timeend,
       'No pixel could take hits: '
       || case when seconds < 7200 then seconds / 60 || ' min'
               when seconds < 172800 then seconds / 3600 || ' h'
               else seconds / 86400 || ' days' end
       || case when ended_at is null then ', and none is heard yet' else '' end as text,
       'gap' as tags
from gaps
where began_at <= $__timeTo()::timestamptz
  and (ended_at is null or ended_at >= $__timeFrom()::timestamptz)
order by began_at
