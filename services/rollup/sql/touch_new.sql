-- rollup: touch_new
insert into touched
with begun as materialized (
    select day, coalesce(starts_at, day::timestamp at time zone report_timezone) as starts_at
    from installation cross join unnest(%(days)s::date[]) as day left join days using (day)
)
select row_number() over (), day, site_id, page_id, origin_id, client_id,
       date_bin('1 hour', received_at, starts_at), session_id,
       event is null and not is_bot and not is_me, event is not null and not is_bot and not is_me, is_bot, is_me,
       status, title_id, received_at, hit_id, event, props
from stored_hits join begun using (day)
where day = any(%(days)s) and batch_id = any(%(batches)s)
