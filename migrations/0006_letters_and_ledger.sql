-- Dead letters that are dropped or stopped, and a ledger for people: what is pending, and which groups are lost.

-- Dead letters ----------------------------------------------------------------------------------------------------

alter table dead_letters add column dropped_at timestamptz;
comment on column dead_letters.dropped_at is 'When somebody emptied it (`make dead-letters DROP=…`); NULL: nobody did. Its number stays, for the ledger.';
comment on column dead_letters.hit is 'The hit without address and User-Agent; NULL where it could not be read, where it came too late (reason too-late: it may not be kept), and where the letter was dropped or has grown older than RETENTION_DAYS.';
comment on column dead_letters.reason is 'Why, as a fixed word: url, enrich, row, deliveries, seal, hits, counts, limits, empty, version, not-a-group, too-late.';

create table enricher_stops (
    consumer text primary key,
    stopped_at timestamptz not null default clock_timestamp(),
    tried_at timestamptz not null default clock_timestamp(),
    letters integer not null,
    hits integer not null,
    reasons text not null
);
comment on table enricher_stops is 'Enrichers that have stopped because more than MAX_DEAD_LETTER_PERCENT of the hits would become dead letters. Empty: none has.';
comment on column enricher_stops.consumer is 'Name of the enricher (setting CONSUMER_NAME).';
comment on column enricher_stops.stopped_at is 'When it stopped.';
comment on column enricher_stops.tried_at is 'When it last tried to go on; grown old: the enricher itself is gone.';
comment on column enricher_stops.letters is 'Hits that would be dead letters.';
comment on column enricher_stops.hits is 'Of how many.';
comment on column enricher_stops.reasons is 'Why, as fixed words.';
grant select on enricher_stops to grafana_reader, grafana_explorer, analyst;

-- Groups ------------------------------------------------------------------------------------------------------------

alter table stream_groups add column hits_before bigint;
comment on column stream_groups.hits_before is 'How many hits this run of the pixel had made durable before the group, as the group says; NULL: it does not say (a pixel of an earlier version, a group that was given up).';

-- By whoever calls it from a view, on a table that only the owner reads: numbers of groups and of hits, no more.
create function groups_missing(since timestamptz)
returns table (pixel_id uuid, first_seq bigint, last_seq bigint, hits bigint, known_at timestamptz)
language sql stable security definer set search_path = pg_catalog, public, pg_temp as $$
    with known as (
        select g.pixel_id, g.seq, max(g.hits_before) as hits_before, sum(g.hits)::bigint as hits,
               min(g.processed_at) as processed_at
        from stream_groups g
        where g.processed_at > since
        group by g.pixel_id, g.seq
    ),
    ordered as (
        select k.pixel_id, k.seq, k.hits_before, k.processed_at,
               lag(k.seq) over pixel as former_seq,
               max(k.hits_before + k.hits) over (pixel rows between unbounded preceding and 1 preceding) as hits_until
        from known k
        window pixel as (partition by k.pixel_id order by k.seq)
    )
    select o.pixel_id, coalesce(o.former_seq, 0) + 1, o.seq - 1,
           case when o.former_seq is null then o.hits_before
                when o.hits_before >= o.hits_until then o.hits_before - o.hits_until
                when o.hits_before < o.hits_until then 0 end,
           o.processed_at
    from ordered o
    -- Older numbers are being forgotten, in no order of theirs.
    where o.processed_at > now() - interval '13 days'
      and (o.seq > o.former_seq + 1
           -- A run's first numbers: only where all that are kept were looked at, and the run says what was before.
           or o.former_seq is null and o.seq > 1 and o.hits_before is not null and since = '-infinity')
$$;
comment on function groups_missing(timestamptz) is 'Numbers of groups, by run of a pixel, that were neither processed nor given up, though a later one was; how many hits they held (NULL: unknown), and when the later one was processed. Looks at groups processed after a moment. Those that wait on the stream are among them.';

create table pending_groups (
    site text not null,
    day date not null,
    pixel_id uuid not null,
    seq bigint not null,
    hits integer not null check (hits > 0),
    primary key (site, day, pixel_id, seq)
);
comment on table pending_groups is 'The groups on the stream, as an enricher last saw them (stream_look). One that is processed since then is in stream_groups.';
comment on column pending_groups.site is 'Site of the hits.';
comment on column pending_groups.day is 'Day of the hits.';
comment on column pending_groups.pixel_id is 'One run of one pixel process.';
comment on column pending_groups.seq is 'Number of the group in that run.';
comment on column pending_groups.hits is 'How many hits of the site and day the group holds.';

create table stream_look (
    singleton boolean primary key default true check (singleton),
    looked_at timestamptz not null,
    entries bigint not null,
    entries_read bigint not null
);
comment on table stream_look is 'One row: when an enricher last looked at what is on the stream, every 5 s. Empty: none has yet.';
comment on column stream_look.singleton is 'Always true: keeps the table to one row.';
comment on column stream_look.looked_at is 'When.';
comment on column stream_look.entries is 'Entries on the stream.';
comment on column stream_look.entries_read is 'How many of them, from the oldest on, were looked at: in a long backlog pending counts these only.';

-- The ledger for people ---------------------------------------------------------------------------------------------

create view lost_groups as
with window_of as (
    -- 200,000 groups take 0.3 s, every minute: on a busier site only those of the last hour are looked at.
    select case when reltuples < 200000 then '-infinity' else now() - interval '1 hour' end as since
    from pg_class where oid = 'stream_groups'::regclass
)
select m.pixel_id, m.first_seq, m.last_seq, m.last_seq - m.first_seq + 1 - p.groups as groups,
       case when m.hits is not null then greatest(0, m.hits - p.hits) end as hits, m.known_at
from window_of w
cross join lateral groups_missing(w.since) m
cross join lateral (
    select count(distinct p.seq) as groups, coalesce(sum(p.hits), 0)::bigint as hits
    from pending_groups p
    where p.pixel_id = m.pixel_id and p.seq between m.first_seq and m.last_seq
) p
where m.last_seq - m.first_seq + 1 > p.groups;
comment on view lost_groups is 'Groups of hits that a pixel had made durable and that are neither processed nor on the stream, though a later one of the same run was processed: Redis lost them. Groups processed in the last 13 days, on a busy site in the last hour. The last groups of a run that ended are not seen: no number follows them.';
comment on column lost_groups.pixel_id is 'One run of one pixel process.';
comment on column lost_groups.first_seq is 'Number of the first missing group.';
comment on column lost_groups.last_seq is 'Number of the last one.';
comment on column lost_groups.groups is 'How many are missing.';
comment on column lost_groups.hits is 'How many hits they held; 0: only counters of what was left out; NULL: unknown.';
comment on column lost_groups.known_at is 'When a later group was processed.';

create view daily_ledger as
with pending as (
    select p.site, p.day, sum(p.hits)::bigint as hits
    from pending_groups p
    where not exists (
        select from stream_groups g
        where g.site in (p.site, '') and g.pixel_id = p.pixel_id and g.seq = p.seq
    )
    group by p.site, p.day
),
left_out as (
    select site, day, coalesce(sum(hits) filter (where outcome = 'excluded'), 0)::bigint as excluded,
           coalesce(sum(hits) filter (where outcome = 'refused'), 0)::bigint as refused
    from ledger_left_out
    group by site, day
)
select site, day,
       coalesce(l.accepted, 0) + coalesce(p.hits, 0) as accepted,
       coalesce(l.stored, 0) as stored,
       coalesce(l.duplicate, 0) as duplicate,
       coalesce(l.dead_lettered, 0) as dead_lettered,
       coalesce(p.hits, 0) as pending,
       coalesce(o.excluded, 0) as excluded,
       coalesce(o.refused, 0) as refused
from ledger l full join pending p using (site, day) full join left_out o using (site, day);
comment on view daily_ledger is 'What became of the hits of each site and day: accepted = stored + duplicate + dead_lettered + pending. A hit is in it once an enricher has seen its group on the stream, at the latest 5 s after it came there (stream_look); one in a pixel''s spool when that is sent on.';
comment on column daily_ledger.site is 'The site (setting SITES); empty where none could be told.';
comment on column daily_ledger.day is 'Date in the reporting time zone.';
comment on column daily_ledger.accepted is 'Hits that the pixels'' groups say they hold.';
comment on column daily_ledger.stored is 'Rows of hits.';
comment on column daily_ledger.duplicate is 'Hits whose id was stored before on the same site and day.';
comment on column daily_ledger.dead_lettered is 'Hits that could not become rows, see daily_ledger_reasons.';
comment on column daily_ledger.pending is 'Hits on the stream that are not processed yet, as of stream_look.';
comment on column daily_ledger.excluded is 'Requests that were not counted on purpose.';
comment on column daily_ledger.refused is 'Requests that were not counted because they were wrong, too many, or could not be made durable.';

create view daily_ledger_reasons as
select site, day, outcome, reason, hits, null::timestamptz as newest_at from ledger_left_out
union all
select site, day, 'dead-lettered', reason, sum(hits)::bigint, max(buried_at) from dead_letters group by site, day, reason;
comment on view daily_ledger_reasons is 'Why requests were left out, and hits became dead letters, by site and day. A killed pixel may lack its last second of what it left out.';
comment on column daily_ledger_reasons.site is 'The site (setting SITES); empty where none could be told.';
comment on column daily_ledger_reasons.day is 'Date in the reporting time zone.';
comment on column daily_ledger_reasons.outcome is 'excluded: on purpose; refused: wrong, too many, or not durable; dead-lettered: accepted, and could not become a row.';
comment on column daily_ledger_reasons.reason is 'Why, as a fixed word.';
comment on column daily_ledger_reasons.hits is 'How many.';
comment on column daily_ledger_reasons.newest_at is 'When the newest dead letter was buried; NULL: what was left out has no time.';

create view ledger_differences as
select site, day, 'accepted is not stored + duplicate + dead_lettered' as what, accepted as says,
       stored + duplicate + dead_lettered as should_be
from ledger
where accepted <> stored + duplicate + dead_lettered
union all
select site, day, 'a number is below 0', least(accepted, stored, duplicate, dead_lettered), 0
from ledger
where least(accepted, stored, duplicate, dead_lettered) < 0
union all
select site, day, 'dead_lettered is not that of the dead letters', coalesce(l.dead_lettered, 0), coalesce(d.hits, 0)
from ledger l
full join (select site, day, sum(hits)::bigint as hits from dead_letters group by site, day) d using (site, day)
where coalesce(l.dead_lettered, 0) <> coalesce(d.hits, 0);
comment on view ledger_differences is 'Where the ledger does not close: no row, while all is well. `make check` looks at more: the hits themselves.';
comment on column ledger_differences.site is 'Site; empty where none could be told.';
comment on column ledger_differences.day is 'Day of the hits.';
comment on column ledger_differences.what is 'What is wrong.';
comment on column ledger_differences.says is 'What the ledger says.';
comment on column ledger_differences.should_be is 'What it should say.';

grant select on daily_ledger, daily_ledger_reasons, ledger_differences, lost_groups, stream_look
to grafana_reader, grafana_explorer, analyst;

comment on table ledger is 'What became of the hits that were processed, of a site and day: accepted = stored + duplicate + dead_lettered. With what is still on the stream: the view daily_ledger.';
comment on column ledger.dead_lettered is 'Hits that could not be enriched or stored, or came too late (reason too-late), see dead_letters.';
