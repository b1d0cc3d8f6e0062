-- rollup: gather_sessions
-- For each page of some sites on a day: how many sessions began there, ended there, and had this pageview only.
create temporary table day_sessions on commit drop as
select site_id, page_id,
       count(*) filter (where is_entry)::int as entries,
       count(*) filter (where is_exit)::int as exits,
       count(*) filter (where is_entry and is_exit)::int as single_page_sessions
from (
    select site_id, page_id,
           lag(hit_id) over hits_of_session is null as is_entry,
           lead(hit_id) over hits_of_session is null as is_exit
    from hits_to_count
    where day = %(day)s
      and site_id = any(%(sites)s)
      and is_pageview
      and session_id is not null
      and batch_id <> all(array(select w.batch_id from rollup_pending w))
    window hits_of_session as (partition by session_id, site_id order by received_at, hit_id)
) as pageviews
where is_entry or is_exit
group by site_id, page_id
