-- rollup: exits
select site_id, page_id, exits as sessions from pg_temp.day_sessions where exits > 0
