-- enricher: bury
insert into dead_letters (site, day, dead_letter_id, entry_id, reason, error, hits, size_bytes, hit)
values (%(site)s, %(day)s, %(dead_letter_id)s, %(entry_id)s, %(reason)s, %(error)s, %(hits)s, %(size_bytes)s, %(hit)s)
on conflict (site, day, dead_letter_id) do nothing
