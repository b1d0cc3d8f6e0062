-- rollup: touch_new
insert into touched
with begun as materialized (
    select day, coalesce(starts_at, day::timestamp at time zone report_timezone) as starts_at
    from installation cross join unnest(%(days)s::date[]) as day left join days using (day)
)
select true, is_pageview, is_event, is_bot, is_me, status, row_number() over (), day, received_at,
       date_bin('1 hour', received_at, starts_at), hit_id, session_id, site_id,
       page_id, title_id, referrer_id, source, source_detail, channel, utm_source, utm_medium, utm_campaign,
       country, browser, os, device, language, screen, bot_name, bot_class, event, props
from hits_to_count join begun using (day)
where day = any(%(days)s) and batch_id = any(%(batches)s)
