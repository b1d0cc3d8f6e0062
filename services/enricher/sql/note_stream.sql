-- enricher: note_stream
-- One enricher at a time; what is noted already stays as it is.
with look as (
    insert into stream_look as s (looked_at, entries, entries_read)
    values (clock_timestamp(), %(entries)s, %(entries_read)s)
    on conflict (singleton) do update
    set looked_at = excluded.looked_at, entries = excluded.entries, entries_read = excluded.entries_read
    returning looked_at
),
seen as (
    select distinct site, day, pixel_id, seq, hits
    from unnest(%(sites)s::text[], %(days)s::date[], %(pixels)s::uuid[], %(seqs)s::bigint[], %(hits)s::int[])
        as g (site, day, pixel_id, seq, hits)
),
gone as (
    delete from pending_groups p
    using look
    where not exists (
        select from seen s
        where s.site = p.site and s.day = p.day and s.pixel_id = p.pixel_id and s.seq = p.seq
    )
)
insert into pending_groups (site, day, pixel_id, seq, hits)
select site, day, pixel_id, seq, max(hits) from seen, look group by site, day, pixel_id, seq
on conflict (site, day, pixel_id, seq) do nothing
