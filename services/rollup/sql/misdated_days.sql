-- rollup: misdated_days
-- To which days the hits of a day belong instead, and how many of them wait to be counted first. A site's day whose
-- hits are not all there stays as it is: what left would be missing from its rollups, what came would not be counted.
select (h.received_at at time zone (select report_timezone from installation))::date as to_day, count(*) as hits,
       count(*) filter (where exists (select from rollup_pending w where w.batch_id = h.batch_id)) as waiting
from stored_hits h
where h.day = %(day)s
  and (h.received_at at time zone (select report_timezone from installation))::date <> h.day
  and (h.received_at at time zone (select report_timezone from installation))::date >= %(first_kept)s
  and not exists (
      select
      from pg_temp.frozen f
      where f.site_id = h.site_id and f.day in (h.day, (h.received_at at time zone (select report_timezone from installation))::date)
  )
group by 1
order by 1
