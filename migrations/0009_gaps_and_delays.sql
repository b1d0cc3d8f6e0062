-- When no pixel could take a hit, which hits came late and how late, and how long the disk lasts.

-- Gaps --------------------------------------------------------------------------------------------------------------

create table pixel_runs (
    pixel_id uuid not null,
    stretch integer not null check (stretch > 0),
    began_at timestamptz not null,
    last_at timestamptz not null,
    check (last_at >= began_at),
    primary key (pixel_id, stretch)
);
comment on table pixel_runs is 'When pixels ran: a row a stretch in which one process could take hits, by the signs of life that it puts into its groups, every 30 s at least (a beat, where no hit comes). Written by the enricher with the group.';
comment on column pixel_runs.pixel_id is 'One run of one pixel process.';
comment on column pixel_runs.stretch is 'Number of the stretch in that run: a new one begins after more than 75 s without a sign, as when the machine slept or no group could be made durable.';
comment on column pixel_runs.began_at is 'When it began: the start of the process, or the first sign after a break.';
comment on column pixel_runs.last_at is 'The last sign of it that is known.';

alter table stream_look add column oldest_at timestamptz;
comment on column stream_look.oldest_at is 'When Redis took the oldest entry that waits on the stream; NULL: none waits.';

comment on column lost_groups.hits is 'How many hits they held; 0: only counters of what was left out, or a sign of life; NULL: unknown.';

create view gaps as
with runs as (
    select began_at,
           max(last_at) over (order by began_at, last_at rows between unbounded preceding and 1 preceding) as alive_until
    from pixel_runs
),
looked as (
    -- Signs that wait on the stream say more of what is behind this than anybody knows yet.
    select coalesce(oldest_at, looked_at) as until from stream_look
),
found as (
    select alive_until as began_at, began_at as ended_at, began_at as known_until
    from runs
    union all
    select max(r.last_at), null, l.until from pixel_runs r cross join looked l group by l.until
)
select began_at, ended_at, extract(epoch from known_until - began_at)::bigint as seconds
from found
where known_until - began_at >= interval '2 minutes';
comment on view gaps is 'Times of 2 minutes and more in which no pixel gave a sign of life: no hit could be taken. None before the first sign ever. While the enricher, Redis or PostgreSQL is away nothing is known, and no gap grows. Signs that wait in a pixel''s spool close a gap when they are sent on.';
comment on column gaps.began_at is 'The last sign of life before it; it may have lasted up to 30 s less.';
comment on column gaps.ended_at is 'When a pixel ran again; NULL: none has been heard yet.';
comment on column gaps.seconds is 'How long it lasted; of an open one, up to where the enricher has looked.';

-- Late hits and ingest delay ------------------------------------------------------------------------------------------

create table late_hits (
    hour_starts_at timestamptz not null,
    site text not null,
    hits bigint not null check (hits > 0),
    longest_seconds bigint not null,
    primary key (hour_starts_at, site)
);
comment on table late_hits is 'Hits that were stored more than 60 s after a pixel had received them, by the hour in which they were received: until they came, the figures of that hour were too small. Written with the hits.';
comment on column late_hits.hour_starts_at is 'Beginning of the hour (UTC) in which they were received.';
comment on column late_hits.site is 'The site.';
comment on column late_hits.hits is 'How many.';
comment on column late_hits.longest_seconds is 'The longest time from receiving to storing.';

create table ingest_minutes (
    minute timestamptz not null,
    hits bigint not null,
    delay_ms_sum bigint not null,
    delay_ms_max bigint not null,
    newest_received_at timestamptz not null,
    backend integer not null default pg_backend_pid(),
    primary key (minute, backend)
);
comment on table ingest_minutes is 'Hits by the minute in which they were stored, and their ingest delay, from receiving to storing. 30 days; no row for a minute without hits, several where several enrichers work. Written with the hits.';
comment on column ingest_minutes.backend is 'The connection that wrote it: each has a row of its own, so that enrichers never wait for each other.';
comment on column ingest_minutes.minute is 'Beginning of the minute.';
comment on column ingest_minutes.hits is 'Hits that were stored in it.';
comment on column ingest_minutes.delay_ms_sum is 'Milliseconds from receiving to storing, added over these hits.';
comment on column ingest_minutes.delay_ms_max is 'The longest of them.';
comment on column ingest_minutes.newest_received_at is 'When the newest of these hits was received.';

-- The disk ------------------------------------------------------------------------------------------------------------

create table disk_looks (
    looked_at timestamptz primary key default clock_timestamp(),
    database_bytes bigint not null,
    disk_free_bytes bigint not null,
    disk_total_bytes bigint not null
);
comment on table disk_looks is 'The size of the database, and the disk on which the rollup has KEY_DIR: every 5 minutes, after 7 days one look a day.';
comment on column disk_looks.looked_at is 'When the rollup looked.';
comment on column disk_looks.database_bytes is 'Size of the database.';
comment on column disk_looks.disk_free_bytes is 'Bytes that are free for the services on the disk of KEY_DIR.';
comment on column disk_looks.disk_total_bytes is 'Bytes that the disk has.';

create view disk_outlook as
with newest as (
    select * from disk_looks order by looked_at desc limit 1
),
by_day as (
    -- A point a day, as older days have one look and the last ones 288.
    select avg(extract(epoch from l.looked_at) / 86400)::float8 as day,
           avg(l.database_bytes)::float8 as database_bytes,
           avg(l.disk_total_bytes - l.disk_free_bytes)::float8 as used_bytes,
           min(l.looked_at) as first_at
    from disk_looks l cross join newest n
    where l.looked_at > n.looked_at - interval '14 days'
    group by date_trunc('day', l.looked_at, 'UTC')
),
growth as (
    select regr_slope(d.database_bytes, d.day)::bigint as database_grows_bytes,
           regr_slope(d.used_bytes, d.day)::bigint as disk_fills_bytes
    from by_day d cross join newest n
    having max(n.looked_at) - min(d.first_at) >= interval '2 days'
)
select n.looked_at, n.database_bytes, n.disk_free_bytes, n.disk_total_bytes, g.database_grows_bytes, g.disk_fills_bytes,
       case when greatest(g.database_grows_bytes, g.disk_fills_bytes) > 0
            then n.disk_free_bytes / greatest(g.database_grows_bytes, g.disk_fills_bytes) end as days_left
from newest n left join growth g on true;
comment on view disk_outlook is 'The last look at the disk, and how long it lasts at the pace of the last 14 days. One row; none before the first look.';
comment on column disk_outlook.looked_at is 'When the rollup looked.';
comment on column disk_outlook.database_bytes is 'Size of the database.';
comment on column disk_outlook.disk_free_bytes is 'Bytes that are free for the services on the disk of KEY_DIR.';
comment on column disk_outlook.disk_total_bytes is 'Bytes that the disk has.';
comment on column disk_outlook.database_grows_bytes is 'Bytes a day that the database grew; NULL: looked at for less than 2 days.';
comment on column disk_outlook.disk_fills_bytes is 'Bytes a day that the disk filled, with whatever; NULL: looked at for less than 2 days.';
comment on column disk_outlook.days_left is 'Days until the disk is full, by the faster of the two; NULL: neither grows, or looked at for less than 2 days.';

-- Dead letters --------------------------------------------------------------------------------------------------------

create view open_letters as
select reason, count(*) as letters, sum(hits)::bigint as hits, min(buried_at) as oldest_at, max(buried_at) as newest_at
from dead_letters
where dropped_at is null and reason <> 'too-late'
group by reason;
comment on view open_letters is 'Dead letters that somebody has to look at, by reason: nobody has dropped them, and they are no late ones, which are no fault.';
comment on column open_letters.reason is 'Why, as a fixed word.';
comment on column open_letters.letters is 'How many letters.';
comment on column open_letters.hits is 'How many hits they stand for.';
comment on column open_letters.oldest_at is 'When the oldest was buried.';
comment on column open_letters.newest_at is 'When the newest was buried.';

grant select on gaps, late_hits, ingest_minutes, disk_looks, disk_outlook, open_letters
to grafana_reader, grafana_explorer, analyst;
