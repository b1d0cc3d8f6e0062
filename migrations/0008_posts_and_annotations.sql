-- The owner's posts, from the feeds that FEEDS names, with their first 24 hours and 7 days; and annotations.

create table feeds (
    feed text primary key,
    tried_at timestamptz,
    ok_at timestamptz,
    read_at timestamptz,
    error text,
    entries integer not null default 0 check (entries >= 0),
    skipped integer not null default 0 check (skipped between 0 and entries),
    etag text,
    last_modified text
);
comment on table feeds is 'The feeds of FEEDS, a row each, written by the rollup''s job posts. A feed that is no longer named loses its row; its posts stay.';
comment on column feeds.feed is 'Host and path of the feed''s address, without a query or a user, which could be secret; numbered where several are alike.';
comment on column feeds.tried_at is 'When it was last asked for; NULL: never.';
comment on column feeds.ok_at is 'When it last answered well; NULL: never.';
comment on column feeds.read_at is 'When it was last read whole, rather than found unchanged; NULL: never.';
comment on column feeds.error is 'What went wrong with the last try, in our words; NULL: nothing.';
comment on column feeds.entries is 'Entries that it held when it was last read.';
comment on column feeds.skipped is 'Those of them without a date, or without a link to a page of one of the sites.';
comment on column feeds.etag is 'Its ETag, for the next question; NULL: none.';
comment on column feeds.last_modified is 'Its Last-Modified, for the next question; NULL: none.';

create table posts (
    page_id integer primary key,
    title text not null check (title <> ''),
    url text not null,
    published_at timestamptz not null,
    first_seen_at timestamptz not null default now(),
    feed text not null
);
comment on table posts is 'The owner''s posts, one a page. Written by the rollup''s job posts under the lock of the refresh, so that each counted hit knows its post. Stay when their feed goes.';
comment on column posts.page_id is 'The page, with the host and path that its hits have.';
comment on column posts.title is 'Title in the feed, without markup, at most 200 characters; its path where it has none.';
comment on column posts.url is 'Link in the feed.';
comment on column posts.published_at is 'When it was published, as the feed said when the post was first seen: a later change does not move it.';
comment on column posts.first_seen_at is 'When the feed was first read with it.';
comment on column posts.feed is 'The feed that it is from (feeds.feed).';
create index posts_published on posts (published_at);
comment on index posts_published is 'Finds the newest posts.';

-- Times that a post is counted by. Two rows a post, whose columns are named like none of hits_to_count.
create view post_spans as
select p.page_id as post_page_id, s.span_hours::smallint as span_hours, p.published_at as span_begins_at,
       p.published_at + make_interval(hours => s.span_hours) as span_ends_at
from posts p cross join (values (24), (168)) as s (span_hours);
comment on view post_spans is 'For each post its first 24 and its first 168 hours.';
comment on column post_spans.post_page_id is 'Page of the post.';
comment on column post_spans.span_hours is 'Length of the span in hours: 24, or 168 (7 days).';
comment on column post_spans.span_begins_at is 'When the post was published.';
comment on column post_spans.span_ends_at is 'The first moment after the span.';

create table rollup_posts (
    day date not null,
    site_id integer not null,
    page_id integer not null,
    span_hours smallint not null,
    pageviews integer not null
) with (fillfactor = 80);
create unique index rollup_posts_key on rollup_posts (day, site_id, page_id, span_hours) nulls not distinct;
comment on index rollup_posts_key is 'One row a cell; finds the days of a range.';
create index rollup_posts_page on rollup_posts (page_id);
comment on index rollup_posts_page is 'Finds the days of a post.';
comment on table rollup_posts is 'Pageviews of a post on a day in its first 24 hours and in its first 7 days.';
comment on column rollup_posts.day is 'Date in the reporting time zone.';
comment on column rollup_posts.site_id is 'The site.';
comment on column rollup_posts.page_id is 'The page.';
comment on column rollup_posts.span_hours is 'In which hours since its publication: the first 24, or the first 168.';
comment on column rollup_posts.pageviews is 'Human hits with event pageview: not is_bot and not is_me.';

create view daily_posts as
select s.site, r.day, p.host, p.path, r.span_hours, r.pageviews
from rollup_posts r left join sites s using (site_id) left join pages p using (page_id);
comment on view daily_posts is 'Pageviews of each post and day in its first 24 hours and in its first 7 days.';
comment on column daily_posts.site is 'The site (setting SITES).';
comment on column daily_posts.day is 'Date in the reporting time zone.';
comment on column daily_posts.host is 'Host of the page.';
comment on column daily_posts.path is 'Path of the page.';
comment on column daily_posts.span_hours is 'In which hours since its publication: the first 24, or the first 168.';
comment on column daily_posts.pageviews is 'Human hits with event pageview: not is_bot and not is_me.';

create table annotations (
    annotation_id bigint generated always as identity primary key,
    begins_at timestamptz not null,
    ends_at timestamptz check (ends_at >= begins_at),
    kind text not null check (kind in ('deploy', 'rules', 'note')),
    site text,
    text text not null check (text <> '')
);
comment on table annotations is 'What the owner is to see on the curves: deploys, changed rules, notes (make annotate). Posts are read from posts, gaps from gaps.';
comment on column annotations.annotation_id is 'Its number, by which make annotate DROP= removes it.';
comment on column annotations.begins_at is 'When it was, or began.';
comment on column annotations.ends_at is 'When it ended; NULL: a moment.';
comment on column annotations.kind is 'deploy, rules (another version of them), or note (written by the owner).';
comment on column annotations.site is 'The site that it is about; NULL: all.';
comment on column annotations.text is 'What is shown.';

alter table installation add column rules smallint;
comment on column installation.rules is 'Version of the rules for sources and bots as the migrate command last saw it; NULL: it has not yet.';

grant select on feeds, posts, post_spans, rollup_posts, daily_posts, annotations to grafana_reader, grafana_explorer, analyst;

update installation set rollups = 4;
alter table installation alter column rollups set default 4;
