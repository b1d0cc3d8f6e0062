-- Footfall's tables, reporting views and roles. Every key carries the site, so that the tables can be
-- distributed by it.

-- Roles -----------------------------------------------------------------------------------------------------

do $$
declare
    name text;
begin
    foreach name in array array['grafana_reader', 'grafana_explorer', 'analyst'] loop
        if not exists (select from pg_roles where rolname = name) then
            execute format('create role %I login', name);
        end if;
        execute format('alter role %I set default_transaction_read_only = on', name);
    end loop;
end
$$;

-- Limits: a panel that takes longer is broken; an analyst's question may take a minute.
alter role grafana_reader set statement_timeout = '10s';
alter role grafana_explorer set statement_timeout = '5s';
alter role analyst set statement_timeout = '60s';

revoke create on schema public from public;

-- The installation ------------------------------------------------------------------------------------------

create table installation (
    singleton boolean primary key default true check (singleton),
    report_timezone text not null default 'UTC'
);
comment on table installation is 'One row: settings that SQL needs. Written by the migrate command.';
comment on column installation.singleton is 'Always true: keeps the table to one row.';
comment on column installation.report_timezone is 'IANA name of the one time zone in which a day begins and ends (setting REPORT_TIMEZONE).';
insert into installation default values;

-- Hits ------------------------------------------------------------------------------------------------------

create sequence hits_batch_id_seq;

create table hits (
    hit_id uuid not null,
    session_id uuid,
    received_at timestamptz not null,
    batch_id bigint not null,
    day date not null,
    status smallint,
    is_bot boolean not null,
    is_me boolean not null,
    country char(2),
    site text not null,
    host text not null,
    path text not null,
    query text,
    title text,
    event text not null,
    props jsonb,
    referrer text,
    source text,
    channel text not null,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    bot_name text,
    browser text,
    os text,
    device text,
    language text,
    screen text
) partition by range (day);

create unique index hits_identity on hits (site, day, hit_id);
comment on index hits_identity is 'Forbids the same hit twice: the same id on the same site and day is one hit, the first stored wins.';
create index hits_session on hits (session_id) where session_id is not null;
comment on index hits_session is 'Finds the earlier hits of a session, from which a rollup knows what is new to it.';
create index hits_batch on hits (batch_id);
comment on index hits_batch is 'Finds the hits of the batches that the rollups have not counted yet. Equal keys are stored once: 7 bytes a hit.';

comment on table hits is 'One row a hit: an accepted request for a page view or an event. Holds no address and no User-Agent. Partitioned by day.';
comment on column hits.hit_id is 'The hit''s identity, from the sender or made by the pixel (UUIDv7).';
comment on column hits.session_id is 'Anonymous: the same for hits of one site, address and User-Agent within one day; derived under a random key that is destroyed. NULL: a privacy signal, or later than the key.';
comment on column hits.received_at is 'When the pixel took the hit.';
comment on column hits.batch_id is 'The enricher''s transaction that stored the hit; rollups count by batch.';
comment on column hits.day is 'Date of received_at in the reporting time zone.';
comment on column hits.status is 'HTTP status of the page where it is known; 404 also where the title says so.';
comment on column hits.is_bot is 'A program, not a person, by its User-Agent. Bots are stored and never counted as people.';
comment on column hits.is_me is 'The owner''s own visit (cookie isMe). Left out of every default figure.';
comment on column hits.country is 'ISO 3166-1 alpha-2 code of the address''s country; NULL: unknown.';
comment on column hits.site is 'The site that the page belongs to (setting SITES).';
comment on column hits.host is 'Host of the page, lower case.';
comment on column hits.path is 'Path of the page, percent-decoded where that gives valid UTF-8; e-mail addresses and tokens are replaced by an ellipsis.';
comment on column hits.query is 'Query of the page, allow-listed parameters only; NULL: none.';
comment on column hits.title is 'Title of the page, at most 512 characters; NULL: none.';
comment on column hits.event is 'pageview, or the name of a custom event; invalid: a name that was refused.';
comment on column hits.props is 'Properties of a custom event; NULL: none.';
comment on column hits.referrer is 'Address that led here, without fragment and with allow-listed parameters only; NULL: direct.';
comment on column hits.source is 'Named origin of the referrer (Search, Hacker News …), else its host; NULL: direct, or the site itself.';
comment on column hits.channel is 'Kind of source: Direct, Search, Social, News, Email, AI, Referral, Campaign.';
comment on column hits.utm_source is 'utm_source of the page''s address; NULL: none.';
comment on column hits.utm_medium is 'utm_medium of the page''s address; NULL: none.';
comment on column hits.utm_campaign is 'utm_campaign of the page''s address; NULL: none.';
comment on column hits.utm_term is 'utm_term of the page''s address; NULL: none.';
comment on column hits.utm_content is 'utm_content of the page''s address; NULL: none.';
comment on column hits.bot_name is 'Family of the bot; NULL: not a bot.';
comment on column hits.browser is 'Family of the browser, without version; NULL: unknown.';
comment on column hits.os is 'Family of the operating system, without version; NULL: unknown.';
comment on column hits.device is 'desktop, mobile or tablet; NULL: unknown.';
comment on column hits.language is 'BCP 47 tag; NULL: unknown.';
comment on column hits.screen is 'Width and height in CSS pixels, 1920x1080; NULL: unknown.';

create schema hits_days;
comment on schema hits_days is 'The partitions of hits, one table a day. Ask public.hits.';

-- Make the partition of a day, unless it is there. Built beside the table and attached, which locks no
-- reader or writer out; comments are copied, because partitions do not inherit them.
create function make_hits_partition(for_day date) returns boolean language plpgsql as $$
declare
    partition text := 'd' || to_char(for_day, 'YYYYMMDD');
    line record;
begin
    if to_regclass('hits_days.' || partition) is not null then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('footfall make_hits_partition'));
    if to_regclass('hits_days.' || partition) is not null then
        return false;
    end if;
    execute format('create table hits_days.%I (like public.hits including defaults including comments)', partition);
    execute format('comment on table hits_days.%I is %L', partition, 'Hits of ' || for_day || '.');
    execute format('alter table public.hits attach partition hits_days.%I for values from (%L) to (%L)',
                   partition, for_day, for_day + 1);
    return true;
end
$$;
comment on function make_hits_partition(date) is 'Makes the partition of hits for a day; whether it was missing.';

-- Rollups ---------------------------------------------------------------------------------------------------

-- An index holds at most 2,704 bytes of a row, a path or a referrer may have 8,192: keys hold their hash. SHA-256
-- and not MD5, because whoever sends hits chooses the text, and two texts with one hash would be one cell.
create function text_key(value text) returns bytea language sql immutable strict parallel safe as $$
    select sha256(convert_to(value, 'UTF8'))
$$;
comment on function text_key(text) is 'What stands for a long text in a key.';

create table rollup_pending (
    site text not null,
    day date not null,
    batch_id bigint not null,
    hits integer not null check (hits > 0),
    stored_at timestamptz not null default clock_timestamp(),
    primary key (site, day, batch_id)
);
comment on table rollup_pending is 'Batches of hits that are stored and not yet counted in the rollups. Written in the transaction that stores the hits, deleted in the one that counts them.';
comment on column rollup_pending.site is 'Site of the hits.';
comment on column rollup_pending.day is 'Day of the hits.';
comment on column rollup_pending.batch_id is 'The enricher''s transaction.';
comment on column rollup_pending.hits is 'How many hits of this site and day the batch stored.';
comment on column rollup_pending.stored_at is 'When the batch was stored.';

create table rollup_traffic (
    site text not null,
    day date not null,
    pageviews bigint not null,
    visitors bigint not null,
    anonymous_pageviews bigint not null,
    bot_hits bigint not null,
    owner_hits bigint not null,
    primary key (site, day)
);
comment on table rollup_traffic is 'Traffic of a site on a day.';

create table rollup_pages (
    site text not null,
    day date not null,
    host text not null,
    path text not null,
    pageviews bigint not null,
    visitors bigint not null
);
create unique index rollup_pages_key on rollup_pages (site, day, host, text_key(path)) nulls not distinct;
comment on index rollup_pages_key is 'One row for each page and day.';
comment on table rollup_pages is 'Pageviews and visitors of a page on a day.';

create index rollup_pages_day on rollup_pages (day);
comment on index rollup_pages_day is 'Finds the days of a range over all sites.';

create table rollup_sources (
    site text not null,
    day date not null,
    source text,
    channel text not null,
    pageviews bigint not null,
    visitors bigint not null,
    unique nulls not distinct (site, day, source, channel)
);
comment on table rollup_sources is 'Pageviews and visitors from a source on a day.';

create table rollup_referrals (
    site text not null,
    day date not null,
    source text not null,
    referrer text,
    host text not null,
    path text not null,
    pageviews bigint not null,
    visitors bigint not null
);
create unique index rollup_referrals_key on rollup_referrals (site, day, source, text_key(referrer), host, text_key(path)) nulls not distinct;
comment on index rollup_referrals_key is 'One row for each referrer, page and day.';
comment on table rollup_referrals is 'Pageviews and visitors that a referrer led to a page on a day. Hits with a source only.';

create index rollup_referrals_day on rollup_referrals (day);
comment on index rollup_referrals_day is 'Finds the days of a range over all sites.';

create table rollup_countries (
    site text not null,
    day date not null,
    country char(2),
    pageviews bigint not null,
    visitors bigint not null,
    unique nulls not distinct (site, day, country)
);
comment on table rollup_countries is 'Pageviews and visitors from a country on a day.';

create table rollup_missing (
    site text not null,
    day date not null,
    host text not null,
    path text not null,
    referrer text,
    pageviews bigint not null
);
create unique index rollup_missing_key on rollup_missing (site, day, host, text_key(path), text_key(referrer)) nulls not distinct;
comment on index rollup_missing_key is 'One row for each missing page, what led there, and day.';
comment on table rollup_missing is 'Pageviews of pages that are missing (status 404 or 410) on a day, and what led there.';

create table rollup_titles (
    site text not null,
    host text not null,
    path text not null,
    title text not null,
    received_at timestamptz not null,
    hit_id uuid not null
);
create unique index rollup_titles_key on rollup_titles (site, host, text_key(path)) nulls not distinct;
comment on index rollup_titles_key is 'One title for each page.';
comment on table rollup_titles is 'The title of a page: that of its newest human pageview that has one.';
create index rollup_titles_path on rollup_titles using hash (path);
comment on index rollup_titles_path is 'Finds the title of a page for the views; a hash, which any length fits.';
comment on column rollup_titles.site is 'Site of the page.';
comment on column rollup_titles.host is 'Host of the page.';
comment on column rollup_titles.path is 'Path of the page.';
comment on column rollup_titles.title is 'The title.';
comment on column rollup_titles.received_at is 'Time of the pageview that the title comes from.';
comment on column rollup_titles.hit_id is 'Identity of that pageview: the greater wins a tie.';

-- Ledger ----------------------------------------------------------------------------------------------------

create table stream_groups (
    site text not null,
    pixel_id uuid not null,
    seq bigint not null check (seq > 0),
    hits integer not null check (hits >= 0),
    abandoned boolean not null default false,
    processed_at timestamptz not null default clock_timestamp(),
    primary key (site, pixel_id, seq)
);
create index stream_groups_processed on stream_groups using brin (processed_at);
comment on index stream_groups_processed is 'Finds the numbers that may be forgotten.';
comment on table stream_groups is 'The groups of hits that were processed: a group that comes again is known by its number and changes nothing.';
comment on column stream_groups.site is 'Site of the hits; empty for a group without hits.';
comment on column stream_groups.pixel_id is 'One run of one pixel process.';
comment on column stream_groups.seq is 'Number of the group in that run: 1, 2, 3 …';
comment on column stream_groups.hits is 'How many hits of the site the group holds.';
comment on column stream_groups.abandoned is 'The pixel answered 503 for this group; should it turn up after this was noted, it is not counted.';
comment on column stream_groups.processed_at is 'When the enricher committed it.';

create table ledger (
    site text not null,
    day date not null,
    accepted bigint not null default 0,
    stored bigint not null default 0,
    duplicate bigint not null default 0,
    dead_lettered bigint not null default 0,
    primary key (site, day)
);
comment on table ledger is 'What became of the accepted hits of a site and day: accepted = stored + duplicate + dead_lettered; what is pending is still on the stream.';
comment on column ledger.site is 'Site; empty where no site could be told (an undecodable entry).';
comment on column ledger.day is 'Day of the hits; of the entry''s arrival where it is undecodable.';
comment on column ledger.accepted is 'Hits that the pixel''s groups say they hold.';
comment on column ledger.stored is 'Rows of hits.';
comment on column ledger.duplicate is 'Hits whose id was stored before on the same site and day.';
comment on column ledger.dead_lettered is 'Hits that could not be enriched or stored, see dead_letters.';

create table ledger_left_out (
    site text not null,
    day date not null,
    outcome text not null check (outcome in ('excluded', 'refused')),
    reason text not null,
    hits bigint not null,
    primary key (site, day, outcome, reason)
);
comment on table ledger_left_out is 'Requests that the pixel did not count, by reason. A killed pixel may lack its last second of them.';
comment on column ledger_left_out.site is 'Site; empty where no site could be told.';
comment on column ledger_left_out.day is 'Day of the requests.';
comment on column ledger_left_out.outcome is 'excluded: on purpose; refused: wrong, too many, or not durable.';
comment on column ledger_left_out.reason is 'Why.';
comment on column ledger_left_out.hits is 'How many requests.';

create table dead_letters (
    site text not null,
    day date not null,
    dead_letter_id uuid not null default gen_random_uuid(),
    entry_id text not null,
    reason text not null,
    error text,
    hits integer not null check (hits > 0),
    size_bytes integer not null,
    hit jsonb,
    buried_at timestamptz not null default clock_timestamp(),
    primary key (site, day, dead_letter_id)
);
comment on table dead_letters is 'Entries and hits that could not become rows, without the person in them.';
comment on column dead_letters.site is 'Site; empty where no site could be told.';
comment on column dead_letters.day is 'Day of the hits; of the entry''s arrival where it is undecodable.';
comment on column dead_letters.dead_letter_id is 'Identity.';
comment on column dead_letters.entry_id is 'Id that the entry had on the stream.';
comment on column dead_letters.reason is 'Why, as a fixed word.';
comment on column dead_letters.error is 'Type and place of the error.';
comment on column dead_letters.hits is 'How many hits it stands for.';
comment on column dead_letters.size_bytes is 'Size of the entry.';
comment on column dead_letters.hit is 'The hit without address and User-Agent; NULL where it could not be read.';
comment on column dead_letters.buried_at is 'When it was buried.';

create table lone_attempts (
    site text not null,
    entry_id text not null,
    attempts integer not null,
    primary key (site, entry_id)
);
comment on table lone_attempts is 'How often an entry that was handed out too often was tried alone, written before each try: it is buried only when the try itself kills the enricher.';
comment on column lone_attempts.site is 'Always empty: an entry may hold hits of several sites.';
comment on column lone_attempts.entry_id is 'Id of the entry on the stream.';
comment on column lone_attempts.attempts is 'Tries alone.';

-- Reporting views -------------------------------------------------------------------------------------------

create view daily_traffic as
select t.site, t.day, t.day::timestamp at time zone i.report_timezone as day_starts_at,
       t.pageviews, t.visitors, t.anonymous_pageviews, t.bot_hits, t.owner_hits
from rollup_traffic t cross join installation i;
comment on view daily_traffic is 'Traffic of each site and day.';

create view daily_pages as
select p.site, p.day, p.host, p.path, t.title, p.pageviews, p.visitors
from rollup_pages p left join rollup_titles t using (site, host, path);
comment on view daily_pages is 'Pageviews and visitors of each page and day.';

create view daily_sources as
select site, day, source, channel, pageviews, visitors from rollup_sources;
comment on view daily_sources is 'Pageviews and visitors from each source and day.';

create view daily_referrals as
select r.site, r.day, r.source, r.referrer, r.host, r.path, t.title, r.pageviews, r.visitors
from rollup_referrals r left join rollup_titles t using (site, host, path);
comment on view daily_referrals is 'Pageviews and visitors that each referrer led to each page, by day. Hits with a source only.';

create view daily_countries as
select site, day, country, pageviews, visitors from rollup_countries;
comment on view daily_countries is 'Pageviews and visitors from each country and day.';

create view daily_missing as
select site, day, host, path, referrer, pageviews from rollup_missing;
comment on view daily_missing is 'Pageviews of missing pages (status 404 or 410) by what led there and day. They stay pageviews.';

create view explore_hits as
select session_id, received_at, day, status, is_bot, is_me, country, site, host, path, query, title, event,
       props, referrer, source, channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
       bot_name, browser, os, device, language, screen
from hits;
comment on view explore_hits is 'hits without hit_id, for the dashboards explore and realtime.';

-- The columns that mean the same wherever they stand.
do $$
declare
    meaning jsonb := jsonb_build_object(
        'site', 'The site (setting SITES).',
        'day', 'Date in the reporting time zone.',
        'day_starts_at', 'The moment at which the day begins in the reporting time zone.',
        'pageviews', 'Human hits with event pageview: not is_bot and not is_me.',
        'visitors', 'Distinct sessions of those pageviews in the day. Add over days only, never over pages or sources.',
        'anonymous_pageviews', 'Pageviews without a session: counted, but in no visitor.',
        'bot_hits', 'Hits of bots, all events.',
        'owner_hits', 'The owner''s own hits, all events. A hit may be a bot''s too.',
        'host', 'Host of the page.',
        'path', 'Path of the page.',
        'title', 'Title of the page''s newest human pageview that has one; NULL: none has.',
        'source', 'Named origin, else the referrer''s host; NULL: direct, or the site itself.',
        'channel', 'Kind of source.',
        'referrer', 'Address that led here; NULL: none.',
        'country', 'ISO 3166-1 alpha-2 code; NULL: unknown.');
    line record;
begin
    for line in
        select c.relname, c.relkind, a.attname
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
          and (c.relname like 'rollup\_%' or c.relname like 'daily\_%')
          and col_description(c.oid, a.attnum) is null and meaning ? a.attname
    loop
        execute format('comment on column %I.%I is %L', line.relname, line.attname, meaning ->> line.attname);
    end loop;
    for line in
        select a.attname, col_description('hits'::regclass, h.attnum) as meaning
        from pg_attribute a join pg_attribute h on h.attrelid = 'hits'::regclass and h.attname = a.attname
        where a.attrelid = 'explore_hits'::regclass and a.attnum > 0
    loop
        execute format('comment on column explore_hits.%I is %L', line.attname, line.meaning);
    end loop;
end
$$;

-- Rights: none of the reading roles writes anything. ----------------------------------------------------------

grant usage on schema public to grafana_reader, grafana_explorer, analyst;
grant select on
    installation,
    rollup_traffic, rollup_pages, rollup_sources, rollup_referrals, rollup_countries, rollup_missing,
    rollup_titles, rollup_pending,
    daily_traffic, daily_pages, daily_sources, daily_referrals, daily_countries, daily_missing,
    ledger, ledger_left_out
to grafana_reader, grafana_explorer, analyst;
grant select on explore_hits to grafana_explorer, analyst;
grant select on hits to analyst;

-- Reading only may be switched off by the session itself, so what it could write without a table is taken away:
-- temporary tables, large objects, and the locks that our own processes take. Managed servers let only their own
-- administrators do some of this: what is refused there is passed over.
do $$
declare
    routine regprocedure;
begin
    execute format('revoke temporary on database %I from public', current_database());
    for routine in
        select oid::regprocedure from pg_proc
        where pronamespace = 'pg_catalog'::regnamespace
          and (proname ~ '^(lo_create|lo_creat|lo_from_bytea|lo_put|lo_open|lowrite|lo_truncate|lo_unlink)$'
               or proname ~ '^pg_(try_)?advisory_(xact_)?lock(_shared)?$')
    loop
        begin
            execute format('grant execute on function %s to %I', routine, current_user);
            execute format('revoke execute on function %s from public', routine);
        exception when insufficient_privilege then
            null;
        end;
    end loop;
end
$$;
