-- Hits by numbers instead of texts, rollups by the same numbers, and more of them. What repeats from hit to hit (page,
-- title, origin, client) stands once in a table of its own; a hit is then 100 bytes where it was 395 with its
-- indexes. `hits` becomes a view that shows them as before. Stored hits and rollups are taken over: about a minute for
-- a million hits, during which nothing is lost, because the stream holds what arrives.

-- Views first, as a reader of them locks view and table in this order; the other way round one of both would lose.
lock table explore_hits in access exclusive mode;
drop view explore_hits, daily_traffic, daily_pages, daily_sources, daily_referrals, daily_countries, daily_missing,
    daily_source_details;

create schema former;
alter schema hits_days rename to former_days;
alter table hits set schema former;
alter table rollup_traffic set schema former;
alter table rollup_pages set schema former;
alter table rollup_sources set schema former;
alter table rollup_source_details set schema former;
alter table rollup_referrals set schema former;
alter table rollup_countries set schema former;
alter table rollup_missing set schema former;
alter table rollup_titles set schema former;

-- What hits have in common --------------------------------------------------------------------------------------

-- SHA-256, because whoever sends hits chooses the texts, and two of them with one key would be one.
create function row_key(variadic parts text[]) returns bytea language sql immutable parallel safe as $$
    select sha256(convert_to(parts::text, 'UTF8'))
$$;
comment on function row_key(text[]) is 'What stands for a row of texts in a key: any length fits, NULL is not the empty text, and no two rows run into one another.';

create table sites (
    site_id integer generated always as identity primary key,
    site text not null,
    used_on date not null,
    key bytea not null generated always as (row_key(site)) stored unique
);
comment on table sites is 'The sites that hits and rollups name by number.';
comment on column sites.site is 'The site (setting SITES).';

create table pages (
    page_id integer generated always as identity primary key,
    site_id integer not null,
    host text not null,
    path text not null,
    used_on date not null,
    key bytea not null generated always as (row_key(site_id::text, host, path)) stored unique
);
comment on table pages is 'The pages that hits and rollups name by number.';
comment on column pages.host is 'Host of the page.';
comment on column pages.path is 'Path of the page.';

create table titles (
    title_id integer generated always as identity primary key,
    title text not null,
    used_on date not null,
    key bytea not null generated always as (row_key(title)) stored unique
);
comment on table titles is 'The titles that hits name by number; 0: none.';
comment on column titles.title is 'Title of a page, at most 512 characters.';

create table referrers (
    referrer_id integer generated always as identity primary key,
    source text,
    referrer text,
    used_on date not null,
    key bytea not null generated always as (row_key(source, referrer)) stored unique
);
comment on table referrers is 'The referrers, with the source that each was taken for, which rollups name by number.';
comment on column referrers.source is 'Named origin, else the referrer''s host; NULL: direct, or the site itself.';
comment on column referrers.referrer is 'Address that led here; NULL: none.';

create table origins (
    origin_id integer generated always as identity primary key,
    referrer_id integer not null,
    source text,
    source_detail text,
    channel text not null,
    query text,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    utm_term text,
    utm_content text,
    link_tag text,
    used_on date not null,
    key bytea not null generated always as (row_key(
        referrer_id::text, source, source_detail, channel, query, utm_source, utm_medium, utm_campaign, utm_term,
        utm_content, link_tag
    )) stored unique
);
comment on table origins is 'What led to a hit, as hits name it by number: referrer, source, campaign. The source is its referrer''s, and here too because each hit is counted by it.';

create table clients (
    client_id integer generated always as identity primary key,
    country char(2),
    browser text,
    os text,
    device text,
    language text,
    screen text,
    bot_name text,
    bot_class text,
    subscribers integer,
    used_on date not null,
    key bytea not null generated always as (row_key(
        country::text, browser, os, device, language, screen, bot_name, bot_class, subscribers::text
    )) stored unique
);
comment on table clients is 'What is known of whoever asked, as hits name it by number: country, families, classes. Many people have one number.';

do $$
declare
    name text;
begin
    foreach name in array array['site', 'page', 'title', 'referrer', 'origin', 'client'] loop
        execute format('comment on column %I.%I is %L', name || 's', name || '_id', 'Its number.');
        execute format('comment on column %I.used_on is %L', name || 's',
                       'The newest day of a hit that has it; what no kept hit can have is forgotten by that.');
        execute format('comment on column %I.key is %L', name || 's', 'The row''s texts in one, for the unique index.');
        execute format('comment on index %I is %L', name || 's_key_key', 'One row for the same texts; finds it.');
    end loop;
end
$$;
comment on column pages.site_id is 'The site.';
comment on column origins.referrer_id is 'Referrer and source.';

-- Hits ------------------------------------------------------------------------------------------------------------

-- Wide columns first, so that none is padded; no column is NULL in most rows, which would cost each 8 bytes.
create table stored_hits (
    hit_id uuid not null,
    session_id uuid,
    received_at timestamptz not null,
    day date not null,
    batch_id integer not null,
    site_id integer not null,
    page_id integer not null,
    title_id integer not null,
    origin_id integer not null,
    client_id integer not null,
    status smallint not null,
    is_bot boolean not null,
    is_me boolean not null,
    event text,
    props jsonb
) partition by range (day);
comment on table stored_hits is 'The rows behind the view hits. Partitioned by day; the partitions of late have indexes, see open_hits_day.';
comment on column stored_hits.hit_id is 'The hit''s identity, from the sender or made by the pixel (UUIDv7).';
comment on column stored_hits.session_id is 'See hits.session_id.';
comment on column stored_hits.received_at is 'When the pixel took the hit.';
comment on column stored_hits.day is 'Date of received_at in the reporting time zone.';
comment on column stored_hits.batch_id is 'The enricher''s transaction that stored the hit; rollups count by batch.';
comment on column stored_hits.site_id is 'The site.';
comment on column stored_hits.page_id is 'The page.';
comment on column stored_hits.title_id is 'The title; 0: none.';
comment on column stored_hits.origin_id is 'What led here.';
comment on column stored_hits.client_id is 'What is known of whoever asked.';
comment on column stored_hits.status is 'HTTP status of the page; 0: unknown.';
comment on column stored_hits.is_bot is 'See hits.is_bot.';
comment on column stored_hits.is_me is 'See hits.is_me.';
comment on column stored_hits.event is 'Name of a custom event; NULL: a pageview.';
comment on column stored_hits.props is 'Properties of a custom event; NULL: none.';
-- Without it the planner takes one hit in two hundred for a pageview, and looks texts up one by one: five times as long.
create statistics stored_hits_events on (coalesce(event, 'pageview')) from stored_hits;
comment on statistics stored_hits_events is 'How many hits are of which event, as the view hits calls them; each day has its own.';

-- A batch waits in rollup_pending for seconds: its number may come again after two thousand million others.
alter sequence hits_batch_id_seq as integer cycle;
alter table rollup_pending alter column batch_id type integer;

-- A day's beginning looked up for each hit by the zone's name would cost more than all else of a refresh together.
create table days (
    day date primary key,
    starts_at timestamptz not null
);
comment on table days is 'When each day begins in the reporting time zone. Days with a partition, or that had one.';
comment on column days.day is 'Date in the reporting time zone.';
comment on column days.starts_at is 'The moment at which it begins.';

create function start_days_anew() returns trigger language plpgsql as $$
begin
    update days set starts_at = day::timestamp at time zone new.report_timezone;
    return null;
end
$$;
comment on function start_days_anew() is 'Another reporting time zone: days begin at other moments.';
create trigger start_days_anew after update of report_timezone on installation
for each row when (old.report_timezone <> new.report_timezone) execute function start_days_anew();

create schema hits_days;
comment on schema hits_days is 'The partitions of stored_hits, one table a day. Ask public.hits.';

-- Built beside the table and attached, which locks no reader or writer out; comments are copied, because partitions
-- do not inherit them.
create or replace function make_hits_partition(for_day date) returns boolean language plpgsql as $$
declare
    partition text := 'd' || to_char(for_day, 'YYYYMMDD');
begin
    if to_regclass('hits_days.' || partition) is not null then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('footfall make_hits_partition'));
    -- Locking a table makes the server hear of what was made or dropped meanwhile; an advisory lock does not.
    lock table only public.stored_hits in access share mode;
    if to_regclass('hits_days.' || partition) is not null then
        return false;
    end if;
    execute format('create table hits_days.%I (like public.stored_hits including defaults including comments including statistics)', partition);
    execute format('comment on table hits_days.%I is %L', partition, 'Hits of ' || for_day || '.');
    execute format('alter table public.stored_hits attach partition hits_days.%I for values from (%L) to (%L)',
                   partition, for_day, for_day + 1);
    insert into days (day, starts_at)
    select for_day, for_day::timestamp at time zone report_timezone from installation
    on conflict (day) do nothing;
    return true;
end
$$;
comment on function make_hits_partition(date) is 'Makes the partition of hits for a day; whether it was missing.';

create function open_hits_day(for_day date) returns boolean language plpgsql as $$
declare
    partition text := 'd' || to_char(for_day, 'YYYYMMDD');
begin
    perform make_hits_partition(for_day);
    if to_regclass('hits_days.' || partition || '_identity') is not null then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('footfall make_hits_partition'));
    -- Locking a table makes the server hear of what was made or dropped meanwhile; an advisory lock does not.
    lock table only public.stored_hits in access share mode;
    if to_regclass('hits_days.' || partition || '_identity') is not null then
        return false;
    end if;
    execute format('create index %I on hits_days.%I (session_id) where session_id is not null', partition || '_session', partition);
    execute format('comment on index hits_days.%I is %L', partition || '_session',
                   'Finds the earlier hits of a session, from which a rollup knows what is new to it.');
    execute format('create index %I on hits_days.%I (batch_id)', partition || '_batch', partition);
    execute format('comment on index hits_days.%I is %L', partition || '_batch',
                   'Finds the hits of the batches that the rollups have not counted yet.');
    execute format('create unique index %I on hits_days.%I (site_id, hit_id)', partition || '_identity', partition);
    execute format('comment on index hits_days.%I is %L', partition || '_identity',
                   'Forbids the same hit twice: the same id on the same site and day is one hit, the first stored wins.');
    return true;
end
$$;
comment on function open_hits_day(date) is 'Makes a day ready for new hits: its partition, and the indexes that only new hits need; whether anything was missing.';

create function hits_day_is_open(for_day date) returns boolean language sql stable as $$
    select to_regclass('hits_days.d' || to_char(for_day, 'YYYYMMDD') || '_identity') is not null
$$;
comment on function hits_day_is_open(date) is 'Whether the same hit is kept from being stored twice on this day. To be asked after an insert, which holds the indexes.';

create function close_hits_day(for_day date) returns void language plpgsql as $$
declare
    partition text := 'd' || to_char(for_day, 'YYYYMMDD');
begin
    perform pg_advisory_xact_lock(hashtext('footfall make_hits_partition'));
    execute format('lock table hits_days.%I in access exclusive mode', partition);
    execute format('drop index if exists hits_days.%I', partition || '_identity');
    execute format('drop index if exists hits_days.%I', partition || '_session');
    execute format('drop index if exists hits_days.%I', partition || '_batch');
end
$$;
comment on function close_hits_day(date) is 'Drops the indexes of a day to which hits come no more: 70 of 170 bytes a hit. A late one makes them again.';

create view hits as
select
    h.hit_id, h.session_id, h.received_at, h.batch_id, h.day, nullif(h.status, 0) as status, h.is_bot, h.is_me,
    c.country, s.site, p.host, p.path, o.query, t.title, coalesce(h.event, 'pageview') as event, h.props,
    r.referrer, o.source, o.channel, o.utm_source, o.utm_medium, o.utm_campaign, o.utm_term, o.utm_content,
    c.bot_name, c.browser, c.os, c.device, c.language, c.screen, o.source_detail, o.link_tag, c.bot_class, c.subscribers
from stored_hits h
left join sites s on s.site_id = h.site_id
left join pages p on p.page_id = h.page_id
left join titles t on t.title_id = h.title_id
left join origins o on o.origin_id = h.origin_id
left join referrers r on r.referrer_id = o.referrer_id
left join clients c on c.client_id = h.client_id;
comment on view hits is 'One row a hit: an accepted request for a page view or an event. Holds no address and no User-Agent. What a question does not name is not read; a range of day reads these days only.';

do $$
declare
    line record;
begin
    for line in
        select a.attname, col_description('former.hits'::regclass, former.attnum) as meaning
        from pg_attribute a
        join pg_attribute former on former.attrelid = 'former.hits'::regclass and former.attname = a.attname
        where a.attrelid = 'hits'::regclass and a.attnum > 0
    loop
        execute format('comment on column hits.%I is %L', line.attname, line.meaning);
        if line.attname in (
            'source', 'source_detail', 'channel', 'query', 'utm_source', 'utm_medium', 'utm_campaign', 'utm_term', 'utm_content', 'link_tag'
        ) then
            execute format('comment on column origins.%I is %L', line.attname, line.meaning);
        end if;
        if line.attname in (
            'country', 'browser', 'os', 'device', 'language', 'screen', 'bot_name', 'bot_class', 'subscribers'
        ) then
            execute format('comment on column clients.%I is %L', line.attname, line.meaning);
        end if;
    end loop;
end
$$;

create view explore_hits as
select session_id, received_at, day, status, is_bot, is_me, country, site, host, path, query, title, event,
       props, referrer, source, channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
       bot_name, browser, os, device, language, screen, source_detail, link_tag, bot_class, subscribers
from hits;
comment on view explore_hits is 'hits without hit_id, for the dashboards explore and realtime.';

create view hits_to_count as
select
    h.hit_id, h.session_id, h.received_at, h.day, h.batch_id, h.site_id, h.page_id, h.title_id, h.client_id,
    h.status, h.is_bot, h.is_me, h.event, h.props,
    h.event is null and not h.is_bot and not h.is_me as is_pageview,
    h.event is not null and not h.is_bot and not h.is_me as is_event,
    date_bin('1 hour', h.received_at, coalesce(
        d.starts_at, h.day::timestamp at time zone (select report_timezone from installation)
    )) as hour_starts_at,
    o.referrer_id, o.source, o.source_detail, o.channel, o.utm_source, o.utm_medium, o.utm_campaign,
    c.country, c.browser, c.os, c.device, c.language, c.screen, c.bot_name, c.bot_class
from stored_hits h
left join days d on d.day = h.day
left join origins o on o.origin_id = h.origin_id
left join clients c on c.client_id = h.client_id;
comment on view hits_to_count is 'hits as the rollups count them: by the numbers of pages and referrers, with the dimensions of the list in services/rollups.py.';
comment on column hits_to_count.hour_starts_at is 'The moment at which the hour begins, counted from the beginning of the day in the reporting time zone.';
comment on column hits_to_count.is_pageview is 'A pageview of a person: not is_bot and not is_me.';
comment on column hits_to_count.is_event is 'A custom event of a person: not is_bot and not is_me.';

-- Rollups -----------------------------------------------------------------------------------------------------------

-- A cell is updated with each refresh of its day: room on its page keeps the index out of that.

create table rollup_traffic (
    day date not null,
    site_id integer not null,
    pageviews integer not null,
    visitors integer not null,
    anonymous_pageviews integer not null,
    bot_hits integer not null,
    owner_hits integer not null
) with (fillfactor = 80);
create unique index rollup_traffic_key on rollup_traffic (day, site_id) nulls not distinct;
comment on index rollup_traffic_key is 'One row a cell; finds the days of a range.';
comment on table rollup_traffic is 'Traffic of a site on a day.';

create table rollup_hours (
    day date not null,
    site_id integer not null,
    hour_starts_at timestamptz not null,
    pageviews integer not null,
    visitors integer not null,
    anonymous_pageviews integer not null,
    bot_hits integer not null,
    owner_hits integer not null
) with (fillfactor = 80);
create unique index rollup_hours_key on rollup_hours (day, site_id, hour_starts_at) nulls not distinct;
comment on index rollup_hours_key is 'One row a cell; finds the days of a range.';
comment on table rollup_hours is 'Traffic of a site in an hour of a day. Visitors: active in the hour.';

create table rollup_pages (
    day date not null,
    site_id integer not null,
    page_id integer not null,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_pages_key on rollup_pages (day, site_id, page_id) nulls not distinct;
comment on index rollup_pages_key is 'One row a cell; finds the days of a range.';
comment on table rollup_pages is 'Pageviews and visitors of a page on a day.';

create table rollup_sources (
    day date not null,
    site_id integer not null,
    source text,
    channel text not null,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_sources_key on rollup_sources (day, site_id, source, channel) nulls not distinct;
comment on index rollup_sources_key is 'One row a cell; finds the days of a range.';
comment on table rollup_sources is 'Pageviews and visitors from a source on a day.';

create table rollup_channels (
    day date not null,
    site_id integer not null,
    channel text not null,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_channels_key on rollup_channels (day, site_id, channel) nulls not distinct;
comment on index rollup_channels_key is 'One row a cell; finds the days of a range.';
comment on table rollup_channels is 'Pageviews and visitors by kind of source on a day.';

create table rollup_source_details (
    day date not null,
    site_id integer not null,
    source text not null,
    source_detail text not null,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_source_details_key on rollup_source_details (day, site_id, source, source_detail) nulls not distinct;
comment on index rollup_source_details_key is 'One row a cell; finds the days of a range.';
comment on table rollup_source_details is 'Pageviews and visitors from a part of a source on a day: the engines of Search, the services of Newsletter.';

create table rollup_referrers (
    day date not null,
    site_id integer not null,
    referrer_id integer not null,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_referrers_key on rollup_referrers (day, site_id, referrer_id) nulls not distinct;
comment on index rollup_referrers_key is 'One row a cell; finds the days of a range.';
comment on table rollup_referrers is 'Pageviews and visitors from a referrer on a day. Hits with a source only.';

create table rollup_referrals (
    day date not null,
    site_id integer not null,
    referrer_id integer not null,
    page_id integer not null,
    pageviews integer not null,
    visitors integer not null,
    -- A column, because an index on pageviews itself would be written to with each of them.
    is_often boolean not null generated always as (pageviews >= 3) stored
) with (fillfactor = 80);
create unique index rollup_referrals_key on rollup_referrals (day, site_id, referrer_id, page_id) nulls not distinct;
comment on index rollup_referrals_key is 'One row a cell; finds the days of a range.';
create index rollup_referrals_often on rollup_referrals (day, site_id) where is_often;
comment on index rollup_referrals_often is 'Finds the one row in ten that tells which pairs can be among the first of a range.';
comment on column rollup_referrals.is_often is 'Whether this page had 3 pageviews or more from this referrer on the day.';
comment on table rollup_referrals is 'Pageviews and visitors that a referrer led to a page on a day. Hits with a source only.';

create table rollup_campaigns (
    day date not null,
    site_id integer not null,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_campaigns_key on rollup_campaigns (day, site_id, utm_source, utm_medium, utm_campaign) nulls not distinct;
comment on index rollup_campaigns_key is 'One row a cell; finds the days of a range.';
comment on table rollup_campaigns is 'Pageviews and visitors of a campaign on a day. Hits with utm_source, utm_medium or utm_campaign only.';

create table rollup_countries (
    day date not null,
    site_id integer not null,
    country char(2),
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_countries_key on rollup_countries (day, site_id, country) nulls not distinct;
comment on index rollup_countries_key is 'One row a cell; finds the days of a range.';
comment on table rollup_countries is 'Pageviews and visitors from a country on a day.';

create table rollup_browsers (
    day date not null,
    site_id integer not null,
    browser text,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_browsers_key on rollup_browsers (day, site_id, browser) nulls not distinct;
comment on index rollup_browsers_key is 'One row a cell; finds the days of a range.';
comment on table rollup_browsers is 'Pageviews and visitors by browser on a day.';

create table rollup_systems (
    day date not null,
    site_id integer not null,
    os text,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_systems_key on rollup_systems (day, site_id, os) nulls not distinct;
comment on index rollup_systems_key is 'One row a cell; finds the days of a range.';
comment on table rollup_systems is 'Pageviews and visitors by operating system on a day.';

create table rollup_devices (
    day date not null,
    site_id integer not null,
    device text,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_devices_key on rollup_devices (day, site_id, device) nulls not distinct;
comment on index rollup_devices_key is 'One row a cell; finds the days of a range.';
comment on table rollup_devices is 'Pageviews and visitors by device on a day.';

create table rollup_languages (
    day date not null,
    site_id integer not null,
    language text,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_languages_key on rollup_languages (day, site_id, language) nulls not distinct;
comment on index rollup_languages_key is 'One row a cell; finds the days of a range.';
comment on table rollup_languages is 'Pageviews and visitors by language on a day.';

create table rollup_screens (
    day date not null,
    site_id integer not null,
    screen text,
    pageviews integer not null,
    visitors integer not null
) with (fillfactor = 80);
create unique index rollup_screens_key on rollup_screens (day, site_id, screen) nulls not distinct;
comment on index rollup_screens_key is 'One row a cell; finds the days of a range.';
comment on table rollup_screens is 'Pageviews and visitors by class of screen on a day.';

create table rollup_events (
    day date not null,
    site_id integer not null,
    event text not null,
    events integer not null,
    sessions integer not null
) with (fillfactor = 80);
create unique index rollup_events_key on rollup_events (day, site_id, event) nulls not distinct;
comment on index rollup_events_key is 'One row a cell; finds the days of a range.';
comment on table rollup_events is 'Custom events of people on a day.';

create table rollup_event_properties (
    day date not null,
    site_id integer not null,
    event text not null,
    property text not null,
    value text not null,
    events integer not null,
    sessions integer not null
) with (fillfactor = 80);
create unique index rollup_event_properties_key on rollup_event_properties (day, site_id, event, text_key(property), text_key(value)) nulls not distinct;
comment on index rollup_event_properties_key is 'One row a cell; finds the days of a range.';
comment on table rollup_event_properties is 'Custom events of people on a day, by a property and its value. A hit counts once for each of its properties.';

create table rollup_bots (
    day date not null,
    site_id integer not null,
    bot_name text,
    bot_class text,
    bot_hits integer not null
) with (fillfactor = 80);
create unique index rollup_bots_key on rollup_bots (day, site_id, bot_name, bot_class) nulls not distinct;
comment on index rollup_bots_key is 'One row a cell; finds the days of a range.';
comment on table rollup_bots is 'Hits of bots, all events, on a day.';

create table rollup_missing (
    day date not null,
    site_id integer not null,
    page_id integer not null,
    referrer_id integer not null,
    pageviews integer not null
) with (fillfactor = 80);
create unique index rollup_missing_key on rollup_missing (day, site_id, page_id, referrer_id) nulls not distinct;
comment on index rollup_missing_key is 'One row a cell; finds the days of a range.';
comment on table rollup_missing is 'Pageviews of pages that are missing (status 404 or 410) on a day, and what led there.';

create table rollup_titles (
    page_id integer primary key,
    title_id integer not null,
    received_at timestamptz not null,
    hit_id uuid not null
);
comment on table rollup_titles is 'The title of a page: that of its newest human pageview that has one.';
comment on column rollup_titles.page_id is 'The page.';
comment on column rollup_titles.title_id is 'The title.';
comment on column rollup_titles.received_at is 'Time of the pageview that the title comes from.';
comment on column rollup_titles.hit_id is 'Identity of that pageview: the greater wins a tie.';
create index rollup_titles_title on rollup_titles (title_id);
comment on index rollup_titles_title is 'Tells which titles may not be forgotten.';

-- What sessions did in their day cannot be added to: a later hit moves the exit page. So it is counted anew, a site's
-- day at a time, on a slower schedule.
create table rollup_sessions (
    day date not null,
    site_id integer not null,
    sessions integer not null,
    single_page_sessions integer not null,
    primary key (day, site_id)
);
comment on table rollup_sessions is 'Sessions of a site on a day that had a pageview.';
comment on column rollup_sessions.sessions is 'Distinct sessions.';
comment on column rollup_sessions.single_page_sessions is 'Sessions with one pageview only.';

create table rollup_entries (
    day date not null,
    site_id integer not null,
    page_id integer not null,
    sessions integer not null,
    single_page_sessions integer not null,
    primary key (day, site_id, page_id)
);
comment on table rollup_entries is 'The pages at which sessions of a day began.';
comment on column rollup_entries.sessions is 'Sessions whose first pageview of the day was of this page.';
comment on column rollup_entries.single_page_sessions is 'Those of them that had no other pageview.';

create table rollup_exits (
    day date not null,
    site_id integer not null,
    page_id integer not null,
    sessions integer not null,
    primary key (day, site_id, page_id)
);
comment on table rollup_exits is 'The pages at which sessions of a day ended.';
comment on column rollup_exits.sessions is 'Sessions whose last pageview of the day was of this page.';

create table sessions_pending (
    mark_id bigint generated always as identity primary key,
    site_id integer not null,
    day date not null,
    marked_at timestamptz not null default clock_timestamp()
);
comment on table sessions_pending is 'Days of sites whose entry and exit pages are to be counted anew. Written by each refresh, deleted by the count that has seen it.';
comment on column sessions_pending.mark_id is 'Each mark is a row: two refreshes never wait for one another, or for the count.';
comment on column sessions_pending.site_id is 'The site.';
comment on column sessions_pending.day is 'The day.';
comment on column sessions_pending.marked_at is 'When it was marked.';

-- What was stored before ---------------------------------------------------------------------------------------------

insert into sites (site, used_on)
select site, max(day)
from (
    select site, day from former.rollup_traffic union all select site, day from former.hits group by 1, 2
) as f
group by site order by 1;

insert into pages (site_id, host, path, used_on)
select s.site_id, f.host, f.path, max(f.day)
from (
    select site, host, path, max(day) as day from former.hits group by 1, 2, 3
    union all select site, host, path, day from former.rollup_pages
    union all select site, host, path, day from former.rollup_referrals
    union all select site, host, path, day from former.rollup_missing
    union all select site, host, path, received_at::date from former.rollup_titles
) as f join sites s using (site)
group by 1, 2, 3;

insert into titles (title, used_on)
select title, max(day)
from (
    select title, max(day) as day from former.hits where title is not null group by 1
    union all select title, received_at::date from former.rollup_titles
) as f
group by 1;

insert into referrers (source, referrer, used_on)
select source, referrer, max(day)
from (
    select source, referrer, max(day) as day from former.hits group by 1, 2
    union all select source, referrer, day from former.rollup_referrals
    -- A missing page's rollup knew no source.
    union all select null, referrer, day from former.rollup_missing
) as f
group by 1, 2;

insert into origins (
    referrer_id, source, source_detail, channel, query, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
    link_tag, used_on
)
select r.referrer_id, r.source, source_detail, channel, query, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
       link_tag, max(day)
from former.hits h
join referrers r on coalesce(r.source, '') = coalesce(h.source, '') and coalesce(r.referrer, '') = coalesce(h.referrer, '')
group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11;

insert into clients (country, browser, os, device, language, screen, bot_name, bot_class, subscribers, used_on)
select country, browser, os, device, language, screen, bot_name, bot_class, subscribers, max(day)
from former.hits
group by 1, 2, 3, 4, 5, 6, 7, 8, 9;

analyze sites, pages, titles, referrers, origins, clients;

do $$
declare
    line record;
    for_day date;
begin
    -- By texts the planner would join by loops, at minutes a day.
    set local enable_nestloop = off;
    for line in
        select c.relname from pg_inherits p join pg_class c on c.oid = p.inhrelid
        where p.inhparent = 'former.hits'::regclass order by 1
    loop
        for_day := to_date(substr(line.relname, 2), 'YYYYMMDD');
        perform make_hits_partition(for_day);
        execute format($statement$
            insert into hits_days.%1$I (
                hit_id, session_id, received_at, day, batch_id, site_id, page_id, title_id, origin_id, client_id, status,
                is_bot, is_me, event, props
            )
            select h.hit_id, h.session_id, h.received_at, h.day, h.batch_id, s.site_id, p.page_id, coalesce(t.title_id, 0),
                   o.origin_id, c.client_id, coalesce(h.status, 0), h.is_bot, h.is_me, nullif(h.event, 'pageview'), h.props
            from former_days.%1$I h
            join sites s on s.site = h.site
            join pages p on p.site_id = s.site_id and p.host = h.host and p.path = h.path
            left join titles t on t.title = h.title
            join referrers r on coalesce(r.source, '') = coalesce(h.source, '') and coalesce(r.referrer, '') = coalesce(h.referrer, '')
            join origins o on o.referrer_id = r.referrer_id and o.channel = h.channel
                and coalesce(o.source_detail, '') = coalesce(h.source_detail, '')
                and coalesce(o.query, '') = coalesce(h.query, '')
                and coalesce(o.utm_source, '') = coalesce(h.utm_source, '')
                and coalesce(o.utm_medium, '') = coalesce(h.utm_medium, '')
                and coalesce(o.utm_campaign, '') = coalesce(h.utm_campaign, '')
                and coalesce(o.utm_term, '') = coalesce(h.utm_term, '')
                and coalesce(o.utm_content, '') = coalesce(h.utm_content, '')
                and coalesce(o.link_tag, '') = coalesce(h.link_tag, '')
            join clients c on coalesce(c.country, '') = coalesce(h.country, '')
                and coalesce(c.browser, '') = coalesce(h.browser, '')
                and coalesce(c.os, '') = coalesce(h.os, '')
                and coalesce(c.device, '') = coalesce(h.device, '')
                and coalesce(c.language, '') = coalesce(h.language, '')
                and coalesce(c.screen, '') = coalesce(h.screen, '')
                and coalesce(c.bot_name, '') = coalesce(h.bot_name, '')
                and coalesce(c.bot_class, '') = coalesce(h.bot_class, '')
                and coalesce(c.subscribers, -1) = coalesce(h.subscribers, -1)
            order by h.received_at
        $statement$, line.relname);
        if (select count(*) from stored_hits where day = for_day) <> (select count(*) from former.hits where day = for_day) then
            raise exception 'hits of % were not all taken over', for_day;
        end if;
    end loop;
    perform open_hits_day(day) from (
        select (now() at time zone report_timezone)::date + d as day from installation, generate_series(-1, 7) as d
        union select day from rollup_pending
    ) as days;
end
$$;
analyze stored_hits;

insert into rollup_traffic (day, site_id, pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits)
select day, site_id, pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits
from former.rollup_traffic join sites using (site) order by 1, 2;

insert into rollup_pages (day, site_id, page_id, pageviews, visitors)
select day, site_id, page_id, pageviews, visitors
from former.rollup_pages join sites using (site) join pages using (site_id, host, path) order by 1, 2, 3;

insert into rollup_sources (day, site_id, source, channel, pageviews, visitors)
select day, site_id, source, channel, pageviews, visitors
from former.rollup_sources join sites using (site) order by 1, 2, 3;

insert into rollup_source_details (day, site_id, source, source_detail, pageviews, visitors)
select day, site_id, source, source_detail, pageviews, visitors
from former.rollup_source_details join sites using (site) order by 1, 2, 3;

insert into rollup_referrals (day, site_id, referrer_id, page_id, pageviews, visitors)
select f.day, s.site_id, r.referrer_id, p.page_id, f.pageviews, f.visitors
from former.rollup_referrals f
join sites s using (site)
join pages p using (site_id, host, path)
join referrers r on r.source = f.source and coalesce(r.referrer, '') = coalesce(f.referrer, '')
order by 1, 2, 3;

insert into rollup_countries (day, site_id, country, pageviews, visitors)
select day, site_id, country, pageviews, visitors
from former.rollup_countries join sites using (site) order by 1, 2, 3;

-- By referrer alone where the raw hits are gone; below the others by referrer and source.
insert into rollup_missing (day, site_id, page_id, referrer_id, pageviews)
select f.day, s.site_id, p.page_id, r.referrer_id, f.pageviews
from former.rollup_missing f
join sites s using (site)
join pages p using (site_id, host, path)
join referrers r on r.source is null and coalesce(r.referrer, '') = coalesce(f.referrer, '')
where f.day not in (select distinct day from stored_hits)
order by 1, 2, 3;

insert into rollup_titles (page_id, title_id, received_at, hit_id)
select page_id, title_id, received_at, hit_id
from former.rollup_titles join sites using (site) join pages using (site_id, host, path) join titles using (title);

-- What is new, for the days whose raw hits are there; batches that wait are left to the refresh.
create temporary table counted on commit drop as
select * from hits_to_count h where not exists (select from rollup_pending w where w.batch_id = h.batch_id);

insert into rollup_hours (day, site_id, hour_starts_at, pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits)
select day, site_id, hour_starts_at,
       count(*) filter (where is_pageview), count(distinct session_id) filter (where is_pageview), count(*) filter (where is_pageview and session_id is null), count(*) filter (where is_bot), count(*) filter (where is_me)
from counted
where true
group by day, site_id, hour_starts_at order by 1, 2;

insert into rollup_channels (day, site_id, channel, pageviews, visitors)
select day, site_id, channel,
       count(*) filter (where is_pageview), count(distinct session_id) filter (where is_pageview)
from counted
where is_pageview
group by day, site_id, channel order by 1, 2;

insert into rollup_referrers (day, site_id, referrer_id, pageviews, visitors)
select day, site_id, referrer_id,
       count(*) filter (where is_pageview), count(distinct session_id) filter (where is_pageview)
from counted
where is_pageview and source is not null
group by day, site_id, referrer_id order by 1, 2;

insert into rollup_campaigns (day, site_id, utm_source, utm_medium, utm_campaign, pageviews, visitors)
select day, site_id, utm_source, utm_medium, utm_campaign,
       count(*) filter (where is_pageview), count(distinct session_id) filter (where is_pageview)
from counted
where is_pageview and coalesce(utm_source, utm_medium, utm_campaign) is not null
group by day, site_id, utm_source, utm_medium, utm_campaign order by 1, 2;

insert into rollup_browsers (day, site_id, browser, pageviews, visitors)
select day, site_id, browser,
       count(*) filter (where is_pageview), count(distinct session_id) filter (where is_pageview)
from counted
where is_pageview
group by day, site_id, browser order by 1, 2;

insert into rollup_systems (day, site_id, os, pageviews, visitors)
select day, site_id, os,
       count(*) filter (where is_pageview), count(distinct session_id) filter (where is_pageview)
from counted
where is_pageview
group by day, site_id, os order by 1, 2;

insert into rollup_devices (day, site_id, device, pageviews, visitors)
select day, site_id, device,
       count(*) filter (where is_pageview), count(distinct session_id) filter (where is_pageview)
from counted
where is_pageview
group by day, site_id, device order by 1, 2;

insert into rollup_languages (day, site_id, language, pageviews, visitors)
select day, site_id, language,
       count(*) filter (where is_pageview), count(distinct session_id) filter (where is_pageview)
from counted
where is_pageview
group by day, site_id, language order by 1, 2;

insert into rollup_screens (day, site_id, screen, pageviews, visitors)
select day, site_id, screen,
       count(*) filter (where is_pageview), count(distinct session_id) filter (where is_pageview)
from counted
where is_pageview
group by day, site_id, screen order by 1, 2;

insert into rollup_events (day, site_id, event, events, sessions)
select day, site_id, event,
       count(*) filter (where is_event), count(distinct session_id) filter (where is_event)
from counted
where is_event
group by day, site_id, event order by 1, 2;

insert into rollup_event_properties (day, site_id, event, property, value, events, sessions)
select day, site_id, event, property, value,
       count(*) filter (where is_event), count(distinct session_id) filter (where is_event)
from counted cross join lateral jsonb_each_text(props) as p (property, value)
where is_event and props is not null
group by day, site_id, event, property, value order by 1, 2;

insert into rollup_bots (day, site_id, bot_name, bot_class, bot_hits)
select day, site_id, bot_name, bot_class,
       count(*) filter (where is_bot)
from counted
where is_bot
group by day, site_id, bot_name, bot_class order by 1, 2;

insert into rollup_missing (day, site_id, page_id, referrer_id, pageviews)
select day, site_id, page_id, referrer_id,
       count(*) filter (where is_pageview)
from counted
where is_pageview and status in (404, 410)
group by day, site_id, page_id, referrer_id order by 1, 2;

insert into sessions_pending (site_id, day)
select distinct site_id, day from counted where is_pageview;

drop schema former, former_days cascade;

-- Reporting views ----------------------------------------------------------------------------------------------------

create view daily_traffic as
select s.site, t.day, coalesce(d.starts_at, t.day::timestamp at time zone i.report_timezone) as day_starts_at,
       t.pageviews, t.visitors, t.anonymous_pageviews, t.bot_hits, t.owner_hits
from rollup_traffic t left join sites s using (site_id) left join days d using (day) cross join installation i;
comment on view daily_traffic is 'Traffic of each site and day.';

create view hourly_traffic as
select s.site, t.day, t.hour_starts_at, t.pageviews, t.visitors, t.anonymous_pageviews, t.bot_hits, t.owner_hits
from rollup_hours t left join sites s using (site_id);
comment on view hourly_traffic is 'Traffic of each site and hour. Visitors are those active in the hour: never add them over hours.';

create view daily_pages as
select s.site, r.day, p.host, p.path, t.title, r.pageviews, r.visitors
from rollup_pages r
left join sites s using (site_id)
left join pages p using (page_id)
left join rollup_titles n using (page_id)
left join titles t using (title_id);
comment on view daily_pages is 'Pageviews and visitors of each page and day.';

create view daily_sources as
select s.site, r.day, r.source, r.channel, r.pageviews, r.visitors
from rollup_sources r left join sites s using (site_id);
comment on view daily_sources is 'Pageviews and visitors from each source and day.';

create view daily_channels as
select s.site, r.day, r.channel, r.pageviews, r.visitors
from rollup_channels r left join sites s using (site_id);
comment on view daily_channels is 'Pageviews and visitors by kind of source and day.';

create view daily_source_details as
select s.site, r.day, r.source, r.source_detail, r.pageviews, r.visitors
from rollup_source_details r left join sites s using (site_id);
comment on view daily_source_details is 'Pageviews and visitors from each part of a source (engine, service) and day.';

create view daily_referrers as
select s.site, r.day, f.source, f.referrer, r.pageviews, r.visitors
from rollup_referrers r left join sites s using (site_id) left join referrers f using (referrer_id);
comment on view daily_referrers is 'Pageviews and visitors from each referrer and day. Hits with a source only.';

create view daily_referrals as
select s.site, r.day, f.source, f.referrer, p.host, p.path, t.title, r.pageviews, r.visitors
from rollup_referrals r
left join sites s using (site_id)
left join referrers f using (referrer_id)
left join pages p using (page_id)
left join rollup_titles n using (page_id)
left join titles t using (title_id);
comment on view daily_referrals is 'Pageviews and visitors that each referrer led to each page, by day. Hits with a source only.';

create view daily_campaigns as
select s.site, r.day, r.utm_source, r.utm_medium, r.utm_campaign, r.pageviews, r.visitors
from rollup_campaigns r left join sites s using (site_id);
comment on view daily_campaigns is 'Pageviews and visitors of each campaign and day.';

create view daily_countries as
select s.site, r.day, r.country, r.pageviews, r.visitors
from rollup_countries r left join sites s using (site_id);
comment on view daily_countries is 'Pageviews and visitors from each country and day.';

create view daily_browsers as
select s.site, r.day, r.browser, r.pageviews, r.visitors
from rollup_browsers r left join sites s using (site_id);
comment on view daily_browsers is 'Pageviews and visitors by browser and day.';

create view daily_systems as
select s.site, r.day, r.os, r.pageviews, r.visitors
from rollup_systems r left join sites s using (site_id);
comment on view daily_systems is 'Pageviews and visitors by operating system and day.';

create view daily_devices as
select s.site, r.day, r.device, r.pageviews, r.visitors
from rollup_devices r left join sites s using (site_id);
comment on view daily_devices is 'Pageviews and visitors by device and day.';

create view daily_languages as
select s.site, r.day, r.language, r.pageviews, r.visitors
from rollup_languages r left join sites s using (site_id);
comment on view daily_languages is 'Pageviews and visitors by language and day.';

create view daily_screens as
select s.site, r.day, r.screen, r.pageviews, r.visitors
from rollup_screens r left join sites s using (site_id);
comment on view daily_screens is 'Pageviews and visitors by class of screen and day.';

create view daily_events as
select s.site, r.day, r.event, r.events, r.sessions
from rollup_events r left join sites s using (site_id);
comment on view daily_events is 'Custom events of people by name and day.';

create view daily_event_properties as
select s.site, r.day, r.event, r.property, r.value, r.events, r.sessions
from rollup_event_properties r left join sites s using (site_id);
comment on view daily_event_properties is 'Custom events of people by name, property, its value, and day. An event counts once for each of its properties: never add over them.';

create view daily_bots as
select s.site, r.day, r.bot_name, r.bot_class, r.bot_hits
from rollup_bots r left join sites s using (site_id);
comment on view daily_bots is 'Hits of each bot and day, all events.';

create view daily_missing as
select s.site, r.day, p.host, p.path, f.referrer, sum(r.pageviews) as pageviews
from rollup_missing r
left join sites s using (site_id)
left join pages p using (page_id)
left join referrers f using (referrer_id)
group by s.site, r.day, p.host, p.path, f.referrer;
comment on view daily_missing is 'Pageviews of missing pages (status 404 or 410) by what led there and day. They stay pageviews.';

create view daily_sessions as
select s.site, r.day, r.sessions, r.single_page_sessions
from rollup_sessions r left join sites s using (site_id);
comment on view daily_sessions is 'Sessions of each day, and those with one pageview only. Up to minutes behind the other views.';

create view daily_entries as
select s.site, r.day, p.host, p.path, r.sessions, r.single_page_sessions
from rollup_entries r left join sites s using (site_id) left join pages p using (page_id);
comment on view daily_entries is 'The pages at which a day''s sessions began. Up to minutes behind the other views.';

create view daily_exits as
select s.site, r.day, p.host, p.path, r.sessions
from rollup_exits r left join sites s using (site_id) left join pages p using (page_id);
comment on view daily_exits is 'The pages at which a day''s sessions ended. Up to minutes behind the other views.';

create function traffic_of_period(first_day date, last_day date)
returns table (
    site text, pageviews bigint, visitors bigint, anonymous_pageviews bigint, bot_hits bigint, owner_hits bigint,
    previous_pageviews bigint, previous_visitors bigint, previous_anonymous_pageviews bigint,
    previous_bot_hits bigint, previous_owner_hits bigint
) language sql stable parallel safe as $$
    select s.site,
           coalesce(sum(pageviews) filter (where day >= first_day), 0),
           coalesce(sum(visitors) filter (where day >= first_day), 0),
           coalesce(sum(anonymous_pageviews) filter (where day >= first_day), 0),
           coalesce(sum(bot_hits) filter (where day >= first_day), 0),
           coalesce(sum(owner_hits) filter (where day >= first_day), 0),
           coalesce(sum(pageviews) filter (where day < first_day), 0),
           coalesce(sum(visitors) filter (where day < first_day), 0),
           coalesce(sum(anonymous_pageviews) filter (where day < first_day), 0),
           coalesce(sum(bot_hits) filter (where day < first_day), 0),
           coalesce(sum(owner_hits) filter (where day < first_day), 0)
    from rollup_traffic r left join sites s using (site_id)
    where day between first_day - (last_day - first_day + 1) and last_day
    group by s.site
$$;
comment on function traffic_of_period(date, date) is 'Traffic of each site from one day to another, both included, and of as many days before them. Visitors are daily visitors, summed.';

-- The columns that mean the same wherever they stand.
do $$
declare
    meaning jsonb := jsonb_build_object(
        'site', 'The site (setting SITES).',
        'site_id', 'The site.',
        'page_id', 'The page.',
        'title_id', 'The title; 0: none.',
        'client_id', 'What is known of whoever asked.',
        'referrer_id', 'Referrer and source.',
        'day', 'Date in the reporting time zone.',
        'day_starts_at', 'The moment at which the day begins in the reporting time zone.',
        'hour_starts_at', 'The moment at which the hour begins, in the reporting time zone.',
        'pageviews', 'Human hits with event pageview: not is_bot and not is_me.',
        'visitors', 'Distinct sessions of those pageviews in the day. Add over days only, never over pages or sources.',
        'anonymous_pageviews', 'Pageviews without a session: counted, but in no visitor.',
        'bot_hits', 'Hits of bots, all events.',
        'owner_hits', 'The owner''s own hits, all events. A hit may be a bot''s too.',
        'events', 'Human hits with another event than pageview: not is_bot and not is_me.',
        'sessions', 'Distinct sessions of those events in the day.',
        'single_page_sessions', 'Sessions with one pageview only.',
        'host', 'Host of the page.',
        'path', 'Path of the page.',
        'title', 'Title of the page''s newest human pageview that has one; NULL: none has.',
        'referrer', 'Address that led here; NULL: none.',
        'property', 'Name of the property.',
        'value', 'Its value, as text.');
    line record;
begin
    execute format('comment on column rollup_hours.visitors is %L', 'Distinct sessions active in the hour. Never added over hours.');
    execute format('comment on column hourly_traffic.visitors is %L', 'Distinct sessions active in the hour. Never added over hours.');
    for line in
        select c.relname, c.relkind, a.attname,
               coalesce(meaning ->> a.attname, col_description('hits'::regclass, h.attnum)) as meaning
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        left join pg_attribute h on h.attrelid = 'hits'::regclass and h.attname = a.attname
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
          and (c.relname like 'rollup\_%' or c.relname like 'daily\_%'
               or c.relname in ('hourly_traffic', 'hits_to_count', 'explore_hits'))
          and col_description(c.oid, a.attnum) is null
    loop
        execute format('comment on column %I.%I is %L', line.relname, line.attname, line.meaning);
    end loop;
end
$$;

-- Reading ranges -------------------------------------------------------------------------------------------------------

-- A refresh puts the rows of a day in no order of their own. Read by the key's index, each row of a range is another
-- jump: 144 ms of CPU for 450,000 rows of rollup_pages, and 68 by these, which tell the blocks of a range and cost a
-- refresh too little to measure.
do $$
declare
    name text;
begin
    foreach name in array array['rollup_pages', 'rollup_referrals', 'rollup_entries', 'rollup_exits'] loop
        execute format('create index %I on %I using brin (day) with (pages_per_range = 16, autosummarize = on)', name || '_days', name);
        execute format('comment on index %I is %L', name || '_days', 'Tells the blocks that a long range of days is read from.');
    end loop;
end
$$;

-- Rights ---------------------------------------------------------------------------------------------------------------

do $$
declare
    line record;
begin
    for line in
        select c.relname from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
          and (c.relname like 'rollup\_%' or c.relname like 'daily\_%' or c.relname = 'hourly_traffic')
    loop
        execute format('grant select on %I to grafana_reader, grafana_explorer, analyst', line.relname);
    end loop;
end
$$;
grant select on sites, pages, referrers, titles, days to grafana_reader, grafana_explorer, analyst;
grant select on explore_hits to grafana_explorer, analyst;
grant select on hits to analyst;

-- The planner takes the rows of a day to lie in the order of the key, and would read long ranges by its index: at this
-- price of a row it does so for single rows only.
alter role grafana_reader set cpu_index_tuple_cost = 0.1;
alter role grafana_explorer set cpu_index_tuple_cost = 0.1;
alter role analyst set cpu_index_tuple_cost = 0.1;
-- Adding up pairs of referrer and page, and counting a month's sessions, go to the disk within the default of 4 MB.
alter role grafana_reader set work_mem = '32MB';
alter role grafana_explorer set work_mem = '64MB';
alter role analyst set work_mem = '64MB';
-- No question of theirs runs so long that compiling it would pay; PostgreSQL expects it of long ranges.
alter role grafana_reader set jit = off;
alter role grafana_explorer set jit = off;
alter role analyst set jit = off;

update installation set rollups = 3;
alter table installation alter column rollups set default 3;
