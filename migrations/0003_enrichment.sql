-- What enrichment knows beside the contract's columns: the part of a source, how a link was tagged, the class of a bot
-- and its readers, and the rules that said so. Columns without a rewrite: NULL and a constant cost old rows nothing.

-- The view first, as a reader of it locks view and table in this order; the other way round one of both would lose.
lock table explore_hits in access exclusive mode;

alter table hits
    add column source_detail text,
    add column link_tag text,
    add column bot_class text,
    add column subscribers integer,
    add column rules smallint not null default 1;
comment on column hits.source_detail is 'Part of the source: the engine of Search (Google, DuckDuckGo …), the service of Newsletter; NULL: the source says it all.';
comment on column hits.link_tag is 'Name of the parameter by which a mailing or advertising service tagged the link (mc_cid, _hsmi, gclid …), never its value; NULL: none.';
comment on column hits.bot_class is 'What the bot is for: search, AI, feed, preview, monitor, tool, scraper; NULL: not a bot, or stored before rules 2 under a name that does not say.';
comment on column hits.subscribers is 'For how many readers a feed fetcher says it asks; NULL: it does not say.';
comment on column hits.rules is 'Version of the rules that last wrote the row.';
comment on column hits.language is 'Language and region (BCP 47, nothing more: de-CH); NULL: unknown.';
comment on column hits.screen is 'Class of the screen, named by its commonest size in CSS pixels (390x844 a telephone, 1920x1080 a desktop); NULL: unknown.';

create or replace view explore_hits as
select session_id, received_at, day, status, is_bot, is_me, country, site, host, path, query, title, event,
       props, referrer, source, channel, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
       bot_name, browser, os, device, language, screen,
       source_detail, link_tag, bot_class, subscribers, rules
from hits;

-- Partitions that are there do not inherit a comment, nor does the view.
do $$
declare
    line record;
begin
    for line in
        select c.oid::regclass as relation, a.attname, col_description('hits'::regclass, h.attnum) as meaning
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        join pg_attribute h on h.attrelid = 'hits'::regclass and h.attname = a.attname
        where (c.oid = 'explore_hits'::regclass
               or c.oid in (select inhrelid from pg_inherits where inhparent = 'hits'::regclass))
          and a.attname in ('source_detail', 'link_tag', 'bot_class', 'subscribers', 'rules', 'language', 'screen')
    loop
        execute format('comment on column %s.%I is %L', line.relation, line.attname, line.meaning);
    end loop;
end
$$;

-- The parts of a source. A table of its own: a session that came by two engines is one visitor of Search.
create table rollup_source_details (
    site text not null,
    day date not null,
    source text not null,
    source_detail text not null,
    pageviews bigint not null,
    visitors bigint not null,
    unique (site, day, source, source_detail)
);
comment on table rollup_source_details is 'Pageviews and visitors from a part of a source on a day: the engines of Search, the services of Newsletter.';
comment on column rollup_source_details.site is 'The site (setting SITES).';
comment on column rollup_source_details.day is 'Date in the reporting time zone.';
comment on column rollup_source_details.source is 'The source.';
comment on column rollup_source_details.source_detail is 'Part of the source.';
comment on column rollup_source_details.pageviews is 'Human hits with event pageview: not is_bot and not is_me.';
comment on column rollup_source_details.visitors is 'Distinct sessions of those pageviews in the day. Never added over parts or sources.';

create view daily_source_details as
select site, day, source, source_detail, pageviews, visitors from rollup_source_details;
comment on view daily_source_details is 'Pageviews and visitors from each part of a source (engine, service) and day.';
comment on column daily_source_details.site is 'The site (setting SITES).';
comment on column daily_source_details.day is 'Date in the reporting time zone.';
comment on column daily_source_details.source is 'The source.';
comment on column daily_source_details.source_detail is 'Part of the source.';
comment on column daily_source_details.pageviews is 'Human hits with event pageview: not is_bot and not is_me.';
comment on column daily_source_details.visitors is 'Distinct sessions of those pageviews in the day. Never added over parts or sources.';

grant select on rollup_source_details, daily_source_details to grafana_reader, grafana_explorer, analyst;

-- A rollup process of the version before, which still runs while this one is deployed, would count hits and leave the
-- new table without them. It is refused; the hits wait for the new one.
alter table installation add column rollups smallint not null default 2;
comment on column installation.rollups is 'Which set of rollups a refresh must know to be let: raised by each migration that adds one.';

alter table installation add column sites text;
comment on column installation.sites is 'SITES as the migrate command last saw it, in one spelling; NULL: it has not yet.';

create function refuse_older_refresh() returns trigger language plpgsql as $$
begin
    if coalesce(nullif(current_setting('footfall.rollups', true), ''), '1')::int < (select rollups from installation) then
        raise exception 'this rollup process is of an older version than the database'
            using hint = 'Start the version that migrated it; the hits wait for it.';
    end if;
    return null;
end
$$;
comment on function refuse_older_refresh() is 'Keeps a refresh out that does not know all rollups.';
create trigger refuse_older_refresh before delete on rollup_pending for each statement execute function refuse_older_refresh();

create table renormalised (
    site text not null,
    day date not null,
    rules smallint not null,
    primary key (site, day)
);
comment on table renormalised is 'How far `make renormalise` is: days of a site whose hits were read again to the end.';
comment on column renormalised.site is 'Site of the hits.';
comment on column renormalised.day is 'Day of the hits.';
grant select on renormalised to analyst;
comment on column renormalised.rules is 'Version of the rules that they were read by.';
