-- enricher: drop_letters
-- Emptied, not deleted: the ledger counts them.
update dead_letters
set hit = null, error = null, dropped_at = clock_timestamp()
where dropped_at is null
  and (%(reason)s::text is null or reason = %(reason)s)
  and (%(id)s::uuid is null or dead_letter_id = %(id)s)
returning hits
