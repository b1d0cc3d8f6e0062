-- enricher: copy_staging
copy staging (
    hit_id, received_at, day, site, host, path, query, title, event, props, status, referrer, source, channel,
    utm_source, utm_medium, utm_campaign, utm_term, utm_content, country, session_id, is_bot, bot_name, is_me,
    browser, os, device, language, screen
) from stdin (format binary)
