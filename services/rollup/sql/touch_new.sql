-- rollup: touch_new
insert into touched
select true, not is_bot and not is_me and event = 'pageview', is_bot, is_me, received_at, hit_id, session_id, day,
       status, country, site, host, path, title, referrer, source, source_detail, channel
from hits
where day = any(%(days)s) and batch_id = any(%(batches)s)
