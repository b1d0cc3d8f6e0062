-- enricher: take_letters
-- Those that are there still: another replay, or a drop, may have had them. Locked in one order, so that two of them
-- wait and do not deadlock.
with locked as (
    select d.site, d.day, d.dead_letter_id
    from dead_letters d
    join unnest(%(sites)s::text[], %(days)s::date[], %(ids)s::uuid[]) as k (site, day, dead_letter_id)
        using (site, day, dead_letter_id)
    where d.hit is not null
    order by d.site, d.day, d.dead_letter_id
    for update of d
)
delete from dead_letters d
using locked l
where d.site = l.site and d.day = l.day and d.dead_letter_id = l.dead_letter_id
returning d.site, d.day, d.dead_letter_id
