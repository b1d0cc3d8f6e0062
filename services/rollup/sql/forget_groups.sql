-- rollup: forget_groups
with old as (
    select pixel_id, max(seq) as seq
    from stream_groups
    where processed_at < now() - %(keep)s::interval
    group by pixel_id
)
delete from stream_groups g
using old
where g.processed_at < now() - %(keep)s::interval and g.pixel_id = old.pixel_id
  and (g.seq < old.seq or g.processed_at < now() - %(keep_last)s::interval)
