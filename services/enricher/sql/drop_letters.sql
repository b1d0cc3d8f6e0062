-- enricher: drop_letters
-- Emptied, not deleted: the ledger counts them. Locked in the order in which a replay does.
with locked as (
    select site, day, dead_letter_id
    from dead_letters
    where dropped_at is null
      and (%(reason)s::text is null or reason = %(reason)s)
      and (%(id)s::uuid is null or dead_letter_id = %(id)s)
    order by site, day, dead_letter_id
    for update
)
update dead_letters d
set hit = null, error = null, dropped_at = clock_timestamp()
from locked l
where d.site = l.site and d.day = l.day and d.dead_letter_id = l.dead_letter_id
returning d.hits
