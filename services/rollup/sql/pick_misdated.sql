-- rollup: pick_misdated
-- Counted hits of a day that belong to another one. One whose twin there is itself to move, or to be counted, waits.
insert into pg_temp.moving
select h.*, h.ctid, %(to_day)s::date, false, false
from stored_hits h
where h.day = %(day)s::date
  and (h.received_at at time zone (select report_timezone from installation))::date = %(to_day)s::date
  and not exists (select from rollup_pending w where w.batch_id = h.batch_id)
  and not exists (select from pg_temp.frozen f where f.site_id = h.site_id and f.day in (%(day)s::date, %(to_day)s::date))
  and not exists (
      select
      from stored_hits t
      where t.day = %(to_day)s::date and t.site_id = h.site_id and t.hit_id = h.hit_id
        and ((t.received_at at time zone (select report_timezone from installation))::date <> %(to_day)s::date
             and (t.received_at at time zone (select report_timezone from installation))::date >= %(first_kept)s
             or exists (select from rollup_pending w where w.batch_id = t.batch_id))
  )
limit %(batch)s
