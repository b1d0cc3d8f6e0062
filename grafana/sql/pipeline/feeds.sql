-- pipeline/feeds.sql: the feeds of FEEDS; those with something wrong first.
select f.feed,
       coalesce(date_trunc('second', clock_timestamp() - f.ok_at)::text || ' ago', 'never') as last_ok,
       (select count(*) from posts p where p.feed = f.feed) as posts,
       f.skipped,
       coalesce(f.error, case when f.tried_at is null then 'not asked yet' else '–' end) as error
from feeds f
order by f.error is null, f.feed
