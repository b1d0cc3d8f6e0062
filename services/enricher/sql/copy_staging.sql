-- enricher: copy_staging
copy staging (
    hit_id, session_id, received_at, day, site_id, page_id, title_id, origin_id, client_id, status, is_bot, is_me, event,
    props
) from stdin (format binary)
