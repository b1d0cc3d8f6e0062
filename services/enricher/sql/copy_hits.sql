-- enricher: copy_hits
-- Into the days' partitions. The order is that of services/enricher/rows.py.
copy stored_hits (
    day, site_id, hit_id, batch_id, page_id, title_id, origin_id, client_id, received_at, status, is_bot, is_me,
    session_id, event, props
) from stdin (format binary)
