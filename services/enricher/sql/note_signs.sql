-- enricher: note_signs
-- In any order, and again: a stretch is as long as its earliest beginning and its last sign say.
insert into pixel_runs as p (pixel_id, stretch, began_at, last_at)
select pixel_id, stretch, min(began_at), max(last_at)
from unnest(%(pixels)s::uuid[], %(stretches)s::int[], %(began)s::timestamptz[], %(last)s::timestamptz[])
    as s (pixel_id, stretch, began_at, last_at)
group by pixel_id, stretch
order by pixel_id, stretch
on conflict (pixel_id, stretch) do update set
    began_at = least(p.began_at, excluded.began_at),
    last_at = greatest(p.last_at, excluded.last_at)
where excluded.began_at < p.began_at or excluded.last_at > p.last_at
