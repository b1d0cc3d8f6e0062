-- enricher: list_letters
-- Heaps of letters, the newest day first, each with its newest examples.
select d.reason, d.day, d.site, sum(d.hits)::bigint as hits,
       coalesce(sum(d.hits) filter (where d.hit is not null), 0)::bigint as replayable,
       max(d.buried_at) as newest_at,
       (array_agg(
            jsonb_build_object('id', d.dead_letter_id, 'error', d.error, 'url', d.hit ->> 'url', 'title', d.hit ->> 'title')
            order by d.buried_at desc, d.dead_letter_id
        ) filter (where d.hit is not null or d.error is not null))[:%(examples)s] as examples
from dead_letters d
where d.dropped_at is null
group by d.reason, d.day, d.site
order by d.day desc, d.reason, d.site
