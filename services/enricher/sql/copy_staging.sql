-- enricher: copy_staging
copy staging (
    hit_id, received_at, day, site, host, path, query, title, event, props, status, referrer, source, source_detail,
    channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content, link_tag, country, session_id, is_bot,
    bot_name, bot_class, subscribers, is_me, browser, os, device, language, screen, rules
) from stdin (format binary)
