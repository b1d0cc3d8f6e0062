-- rollup: touch_new
insert into touched
select true, is_pageview, is_event, is_bot, is_me, status, day, received_at, hour_starts_at, hit_id, session_id, site_id,
       page_id, title_id, client_id, referrer_id, source, source_detail, channel, utm_source, utm_medium, utm_campaign,
       event, props
from hits_to_count
where day = any(%(days)s) and batch_id = any(%(batches)s)
