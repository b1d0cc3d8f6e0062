-- annotations/late.sql: hours within the range of which hits came late; hours one after another are one.
with hours as (
    select hour_starts_at, sum(hits) as hits, max(longest_seconds) as longest_seconds
    from late_hits
    where hour_starts_at between $__timeFrom()::timestamptz - interval '1 hour' and $__timeTo()::timestamptz
      and ('__all__' in ($site) or site in ($site))
    group by hour_starts_at
), numbered as (
    select *, hour_starts_at - row_number() over (order by hour_starts_at) * interval '1 hour' as run
    from hours
)
select min(hour_starts_at) as time, max(hour_starts_at) + interval '1 hour' as timeend,
       sum(hits) || case when sum(hits) = 1 then ' hit' else ' hits' end || ' of this time came late, by up to '
       || case when max(longest_seconds) < 120 then max(longest_seconds) || ' s'
               when max(longest_seconds) < 7200 then max(longest_seconds) / 60 || ' min'
               when max(longest_seconds) < 172800 then max(longest_seconds) / 3600 || ' h'
               else max(longest_seconds) / 86400 || ' days' end as text,
       'late' as tags
from numbered
group by run
order by time
