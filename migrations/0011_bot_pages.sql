-- What bots read: a rollup of their hits by page.

-- A refresh of the version before, which knows nothing of the new table, ends before this begins to count (the lock is
-- REFRESH_LOCK of services/rollups.py), and one that begins after it is refused.
select pg_advisory_xact_lock(x'666F6F74726F6C6C'::bigint);

create table rollup_bot_pages (
    day date not null,
    site_id integer not null,
    page_id integer not null,
    bot_hits integer not null
) with (fillfactor = 80);
create unique index rollup_bot_pages_key on rollup_bot_pages (day, site_id, page_id) nulls not distinct;
comment on index rollup_bot_pages_key is 'One row a cell; finds the days of a range.';
create index rollup_bot_pages_days on rollup_bot_pages using brin (day) with (pages_per_range = 16, autosummarize = on);
comment on index rollup_bot_pages_days is 'Tells the blocks that a long range of days is read from.';
comment on table rollup_bot_pages is 'Hits of bots, all events, on a page on a day.';
comment on column rollup_bot_pages.day is 'Date in the reporting time zone.';
comment on column rollup_bot_pages.site_id is 'The site.';
comment on column rollup_bot_pages.page_id is 'The page.';
comment on column rollup_bot_pages.bot_hits is 'Hits of bots, all events.';

-- For the days whose raw hits are there; batches that wait are left to the refresh.
insert into rollup_bot_pages (day, site_id, page_id, bot_hits)
select day, site_id, page_id, count(*)
from stored_hits h
where is_bot and not exists (select from rollup_pending w where w.batch_id = h.batch_id)
group by day, site_id, page_id order by 1, 2, 3;

create view daily_bot_pages as
select s.site, r.day, p.host, p.path, r.bot_hits
from rollup_bot_pages r left join sites s using (site_id) left join pages p using (page_id);
comment on view daily_bot_pages is 'Hits of bots on each page and day, all events.';
comment on column daily_bot_pages.site is 'The site (setting SITES).';
comment on column daily_bot_pages.day is 'Date in the reporting time zone.';
comment on column daily_bot_pages.host is 'Host of the page.';
comment on column daily_bot_pages.path is 'Path of the page.';
comment on column daily_bot_pages.bot_hits is 'Hits of bots, all events.';

grant select on rollup_bot_pages, daily_bot_pages to grafana_reader, grafana_explorer, analyst;

-- What thousands of rows a day have: a long range by the blocks that hold it, as in 0004. By the key's index, which the
-- planner takes otherwise, 41 ms of CPU for 86,000 rows of rollup_sources, and 12 so.
do $$
declare
    name text;
begin
    foreach name in array array['rollup_sources', 'rollup_referrers', 'rollup_missing', 'rollup_bots', 'rollup_campaigns'] loop
        execute format('create index %I on %I using brin (day) with (pages_per_range = 16, autosummarize = on)', name || '_days', name);
        execute format('comment on index %I is %L', name || '_days', 'Tells the blocks that a long range of days is read from.');
    end loop;
end
$$;

create index rollup_missing_page on rollup_missing (page_id, day);
comment on index rollup_missing_page is 'Finds the first and the last day of a missing page, of all days.';

update installation set rollups = 5;
alter table installation alter column rollups set default 5;
