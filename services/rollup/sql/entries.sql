-- rollup: entries
select site_id, page_id, entries as sessions, single_page_sessions from pg_temp.day_sessions where entries > 0
