-- rollup: touch_earlier
-- The earlier pageviews and events of the people that have new ones: stored and counted, that is, in no batch that
-- waits. Neither those of this refresh nor those that it leaves for the next are earlier. Of each, what tells its
-- cells.
insert into touched
with begun as materialized (
    select day, coalesce(starts_at, day::timestamp at time zone report_timezone) as starts_at
    from installation cross join unnest(%(days)s::date[]) as day left join days using (day)
)
select 0, day, site_id, page_id, origin_id, client_id,
       date_bin('1 hour', received_at, starts_at), session_id,
       event is null, event is not null, false, false, null, null, null, null, event, props
from stored_hits join begun using (day)
where day = any(%(days)s)
  and session_id = any(array(
      select session_id from touched where session_id is not null and (is_pageview or is_event)
  ))
  and not is_bot and not is_me
  and batch_id <> all(%(waiting)s)
