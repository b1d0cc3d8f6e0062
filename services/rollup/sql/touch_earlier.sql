-- rollup: touch_earlier
-- The earlier human pageviews of the sessions that have new ones: stored and counted, that is, in no batch that
-- waits. Neither those of this refresh nor those that it leaves for the next are earlier.
insert into touched
select false, true, false, false, h.received_at, h.hit_id, h.session_id, h.day,
       h.status, h.country, h.site, h.host, h.path, h.title, h.referrer, h.source,
       h.source_detail, h.channel
from hits h
where h.day = any(%(days)s)
  and h.session_id = any(
      array(select distinct session_id from touched where is_pageview and session_id is not null)
  )
  and not h.is_bot and not h.is_me and h.event = 'pageview'
  and h.batch_id <> all(%(waiting)s)
