-- overview/owner_hits.sql: the owner's own hits, in words.
with days as materialized (
    select ($__timeFrom()::timestamptz at time zone report_timezone)::date as first_day,
           ($__timeTo()::timestamptz at time zone report_timezone)::date as last_day
    from installation
)
select case when sum(owner_hits) > 0 then to_char(sum(owner_hits), 'FM999,999,999,990') || ' left out'
            else 'None in this range' end as owner_hits
from daily_traffic
cross join days
where day between days.first_day and days.last_day
  and ('__all__' in ($site) or site in ($site))
having exists (select from daily_traffic)
