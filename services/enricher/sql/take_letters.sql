-- enricher: take_letters
-- Those that are there still: another replay, or a drop, may have had them.
delete from dead_letters d
using unnest(%(sites)s::text[], %(days)s::date[], %(ids)s::uuid[]) as k (site, day, dead_letter_id)
where d.site = k.site and d.day = k.day and d.dead_letter_id = k.dead_letter_id and d.hit is not null
returning d.site, d.day, d.dead_letter_id
