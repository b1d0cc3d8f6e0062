-- rollup: put_moved
-- In the order of the enricher's inserts.
insert into stored_hits (
    hit_id, session_id, received_at, day, batch_id, site_id, page_id, title_id, origin_id, client_id, status, is_bot,
    is_me, event, props
)
select
    hit_id, session_id, received_at, %(to_day)s, batch_id, site_id, page_id, title_id, origin_id, client_id, status,
    is_bot, is_me, event, props
from pg_temp.moving
where not is_out
order by hit_id
