-- enricher: make_staging
-- What a batch is copied into first: COPY itself cannot pass over a hit that is stored already.
create temporary table if not exists staging on commit delete rows as
select hit_id, received_at, day, site, host, path, query, title, event, props, status, referrer, source,
       source_detail, channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content, link_tag, country::text,
       session_id, is_bot, bot_name, bot_class, subscribers, is_me, browser, os, device, language, screen, rules
from hits
with no data
