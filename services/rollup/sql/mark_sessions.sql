-- rollup: mark_sessions
insert into sessions_pending (site_id, day)
select distinct site_id, day from touched where n > 0 and is_pageview and session_id is not null
