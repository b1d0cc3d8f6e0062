-- enricher: book_hits
-- Book in the ledger what was copied, and leave word for the rollups: in the hits' own transaction, so that they can
-- never disagree. Last in it: what is locked here, another enricher waits for until the commit.
with booked as (
    insert into ledger as l (site, day, accepted, stored, duplicate, dead_lettered)
    select site, day, accepted, stored, accepted - dead_lettered - stored, dead_lettered
    from unnest(%(sites)s::text[], %(days)s::date[], %(accepted)s::bigint[], %(stored)s::bigint[],
                %(dead_lettered)s::bigint[])
        as b (site, day, accepted, stored, dead_lettered)
    order by site, day
    on conflict (site, day) do update set
        accepted = l.accepted + excluded.accepted,
        stored = l.stored + excluded.stored,
        duplicate = l.duplicate + excluded.duplicate,
        dead_lettered = l.dead_lettered + excluded.dead_lettered
),
waiting as (
    insert into rollup_pending (site, day, batch_id, hits)
    select site, day, %(batch_id)s::int, stored
    from unnest(%(sites)s::text[], %(days)s::date[], %(stored)s::bigint[]) as b (site, day, stored)
    where stored > 0
),
minute as (
    insert into ingest_minutes as m (minute, hits, delay_ms_sum, delay_ms_max, newest_received_at)
    -- A clock that is ahead makes no delay below 0.
    select date_trunc('minute', now()), measured,
           greatest(0, extract(epoch from (now() - oldest) * measured - after_oldest) * 1000)::bigint,
           greatest(0, extract(epoch from now() - oldest) * 1000)::bigint, newest
    from (values (%(measured)s::int, %(oldest)s::timestamptz, %(newest)s::timestamptz, %(after_oldest)s::interval))
        as d (measured, oldest, newest, after_oldest)
    where measured > 0
    on conflict (minute, backend) do update set
        hits = m.hits + excluded.hits,
        delay_ms_sum = m.delay_ms_sum + excluded.delay_ms_sum,
        delay_ms_max = greatest(m.delay_ms_max, excluded.delay_ms_max),
        newest_received_at = greatest(m.newest_received_at, excluded.newest_received_at)
),
late as (
    insert into late_hits as l (hour_starts_at, site, hits, longest_seconds)
    select hour_starts_at, site, hits, extract(epoch from now() - oldest)::bigint
    from unnest(%(late_hours)s::timestamptz[], %(late_sites)s::text[], %(late_hits)s::bigint[],
                %(late_oldest)s::timestamptz[])
        as a (hour_starts_at, site, hits, oldest)
    order by hour_starts_at, site
    on conflict (hour_starts_at, site) do update set
        hits = l.hits + excluded.hits,
        longest_seconds = greatest(l.longest_seconds, excluded.longest_seconds)
)
select bool_and(hits_day_is_open(day)), pg_notify('footfall_hits', '')
from (select distinct day from unnest(%(hit_days)s::date[]) as day) as d
