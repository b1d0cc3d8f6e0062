-- rollup: touch_earlier
-- The earlier pageviews and events of the people that have new ones: stored and counted, that is, in no batch that
-- waits. Neither those of this refresh nor those that it leaves for the next are earlier.
insert into touched
with begun as materialized (
    select day, coalesce(starts_at, day::timestamp at time zone report_timezone) as starts_at
    from installation cross join unnest(%(days)s::date[]) as day left join days using (day)
)
select false, is_pageview, is_event, false, false, status, 0, day, received_at,
       date_bin('1 hour', received_at, starts_at), hit_id, session_id, site_id,
       page_id, title_id, referrer_id, source, source_detail, channel, utm_source, utm_medium, utm_campaign,
       country, browser, os, device, language, screen, bot_name, bot_class, event, props
from hits_to_count join begun using (day)
where day = any(%(days)s)
  and session_id = any(
      array(select distinct session_id from touched where session_id is not null and (is_pageview or is_event))
  )
  and not is_bot and not is_me
  and batch_id <> all(%(waiting)s)
