-- rollup: take_moved
with twins_taken as (
    delete from stored_hits t
    using pg_temp.moving m
    where t.day = %(to_day)s and t.site_id = m.site_id and t.hit_id = m.hit_id and m.has_twin and not m.is_out
)
delete from stored_hits
where day = %(day)s and ctid = any(array(select place from pg_temp.moving))
