-- rollup: take_titles
delete from rollup_titles t
using pg_temp.wrong_titles w
where (t.page_id, t.title_id, t.received_at, t.hit_id)
    = (w.page_id, w.false_title_id, w.false_received_at, w.false_hit_id)
