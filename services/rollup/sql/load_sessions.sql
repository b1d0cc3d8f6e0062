-- rollup: load_sessions
-- What a session did on its day: of equal times the greater hit_id is the later one.
insert into pg_temp.loaded_sessions (day, site_id, entry_page_id, exit_page_id, is_single)
select day, site_id, page_ids[1], page_ids[cardinality(page_ids)], cardinality(page_ids) = 1
from (
    select day, site_id, array_agg(page_id order by received_at, hit_id) as page_ids
    from pg_temp.loaded
    where is_pageview and session_id is not null
    group by day, site_id, session_id
) as sessions
