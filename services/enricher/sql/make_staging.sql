-- enricher: make_staging
-- What a batch is copied into first: COPY itself cannot pass over a hit that is stored already.
create temporary table if not exists staging on commit delete rows as
select hit_id, session_id, received_at, day, site_id, page_id, title_id, origin_id, client_id, status, is_bot, is_me,
       event, props
from stored_hits
with no data
