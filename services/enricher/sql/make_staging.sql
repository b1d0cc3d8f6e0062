-- enricher: make_staging
-- What a batch is copied into first: COPY itself cannot pass over a hit that is stored already.
create temporary table if not exists staging on commit delete rows as
select hit_id, received_at, day, site, host, path, query, title, event, props, status, referrer, source, channel,
       utm_source, utm_medium, utm_campaign, utm_term, utm_content, country::text, session_id, is_bot, bot_name, is_me,
       browser, os, device, language, screen
from hits
with no data
