-- rollup: sessions
select site_id, sum(entries)::int as sessions, sum(single_page_sessions)::int as single_page_sessions
from pg_temp.day_sessions
group by site_id
having sum(entries) > 0
