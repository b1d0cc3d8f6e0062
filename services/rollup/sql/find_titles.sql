-- rollup: find_titles
-- Pages of the loaded day whose title is missing or older than the day's newest, or from a hit of the day that is not
-- there. The title of a hit that retention has dropped is of an earlier day, and stays.
insert into pg_temp.wrong_titles (page_id, false_title_id, false_received_at, false_hit_id)
select n.page_id, null, null, null
from pg_temp.loaded_titles n left join rollup_titles t using (page_id)
where t.page_id is null or (t.received_at, t.hit_id) < (n.received_at, n.hit_id)
union all
select t.page_id, t.title_id, t.received_at, t.hit_id
from rollup_titles t
cross join installation i
left join pg_temp.loaded_titles n using (page_id)
where (t.received_at at time zone i.report_timezone)::date = %(day)s
  and (n.page_id is null or (t.received_at, t.hit_id) > (n.received_at, n.hit_id)
       or (t.received_at, t.hit_id) = (n.received_at, n.hit_id) and t.title_id <> n.title_id)
  -- A day or two aside while the reporting time zone changes.
  and not exists (
      select
      from hits_to_count h
      where h.day between %(day)s - 2 and %(day)s + 2
        and h.is_pageview
        and (h.page_id, h.title_id, h.received_at, h.hit_id) = (t.page_id, t.title_id, t.received_at, t.hit_id)
  )
