-- enricher: claim_groups
-- Take the groups that were not processed before; a second enricher with the same group waits here for the
-- first one's commit and then gets nothing. A group that its pixel gave up is never taken.
with batch as materialized (
    select nextval('hits_batch_id_seq')::int as batch_id
),
sent as (
    select *
    from unnest(%(sites)s::text[], %(pixels)s::uuid[], %(seqs)s::bigint[], %(hits)s::int[], %(before)s::bigint[],
                %(abandoned)s::bool[])
        as g (site, pixel_id, seq, hits, hits_before, abandoned)
),
taken as (
    insert into stream_groups (site, pixel_id, seq, hits, hits_before, abandoned)
    select s.site, s.pixel_id, s.seq, s.hits, s.hits_before, s.abandoned
    from sent s
    where not exists (
        select
        from stream_groups given_up
        where given_up.site = '' and given_up.pixel_id = s.pixel_id and given_up.seq = s.seq
    )
    order by s.site, s.pixel_id, s.seq
    on conflict (site, pixel_id, seq) do nothing
    returning pixel_id, seq, abandoned
)
select batch_id,
       coalesce(array_agg(pixel_id) filter (where not abandoned), '{}') as pixels,
       coalesce(array_agg(seq) filter (where not abandoned), '{}') as seqs
from batch left join taken on true
group by batch_id
