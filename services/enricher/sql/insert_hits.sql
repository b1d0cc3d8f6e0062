-- enricher: insert_hits
-- Store what was copied, book it in the ledger, and leave word for the rollups: one statement, so that they can
-- never disagree.
with batch as (
    select nextval('hits_batch_id_seq')::int as batch_id
),
arrived as (
    insert into stored_hits (
        batch_id, hit_id, session_id, received_at, day, site_id, page_id, title_id, origin_id, client_id, status, is_bot,
        is_me, event, props
    )
    select
        batch.batch_id, hit_id, session_id, received_at, day, site_id, page_id, title_id, origin_id, client_id, status,
        is_bot, is_me, event, props
    from staging, batch
    -- In the order of the index on it, which random ids would fill at random pages (a fifth of this statement's
    -- cost at 5,000 rows); of the same id the one that came first stays first.
    order by hit_id, staging.ctid
    -- Each day's own index on (site_id, hit_id); without it nothing conflicts, see hits_day_is_open.
    on conflict do nothing
    returning site_id, day, received_at
),
stored as (
    select s.site, a.day, a.hits
    from (select site_id, day, count(*)::int as hits from arrived group by site_id, day) as a
    join sites s using (site_id)
),
accepted as (
    select site, day, sum(accepted)::bigint as accepted, sum(dead_lettered)::bigint as dead_lettered
    from unnest(%(sites)s::text[], %(days)s::date[], %(accepted)s::bigint[], %(dead_lettered)s::bigint[])
        as a (site, day, accepted, dead_lettered)
    group by site, day
),
booked as (
    insert into ledger as l (site, day, accepted, stored, duplicate, dead_lettered)
    select a.site, a.day, a.accepted, coalesce(s.hits, 0), a.accepted - a.dead_lettered - coalesce(s.hits, 0),
           a.dead_lettered
    from accepted a left join stored s using (site, day)
    order by a.site, a.day
    on conflict (site, day) do update set
        accepted = l.accepted + excluded.accepted,
        stored = l.stored + excluded.stored,
        duplicate = l.duplicate + excluded.duplicate,
        dead_lettered = l.dead_lettered + excluded.dead_lettered
),
waiting as (
    insert into rollup_pending (site, day, batch_id, hits)
    select s.site, s.day, b.batch_id, s.hits from stored s, batch b
),
minute as (
    insert into ingest_minutes as m (minute, hits, delay_ms_sum, delay_ms_max, newest_received_at)
    -- A clock that is ahead makes no delay below 0.
    select date_trunc('minute', now()), count(*),
           greatest(0, extract(epoch from sum(now() - received_at)) * 1000)::bigint,
           greatest(0, extract(epoch from now() - min(received_at)) * 1000)::bigint, max(received_at)
    from arrived
    where %(measured)s
    having count(*) > 0
    on conflict (minute, backend) do update set
        hits = m.hits + excluded.hits,
        delay_ms_sum = m.delay_ms_sum + excluded.delay_ms_sum,
        delay_ms_max = greatest(m.delay_ms_max, excluded.delay_ms_max),
        newest_received_at = greatest(m.newest_received_at, excluded.newest_received_at)
),
late as (
    insert into late_hits as l (hour_starts_at, site, hits, longest_seconds)
    select a.hour_starts_at, s.site, a.hits, a.longest_seconds
    from (
        select date_trunc('hour', received_at, 'UTC') as hour_starts_at, site_id, count(*) as hits,
               extract(epoch from now() - min(received_at))::bigint as longest_seconds
        from arrived
        where %(measured)s and received_at < now() - interval '60 s'
        group by 1, 2
    ) as a
    join sites s using (site_id)
    order by a.hour_starts_at, s.site
    on conflict (hour_starts_at, site) do update set
        hits = l.hits + excluded.hits,
        longest_seconds = greatest(l.longest_seconds, excluded.longest_seconds)
)
select coalesce(sum(hits), 0)::int, pg_notify('footfall_hits', '') from stored
