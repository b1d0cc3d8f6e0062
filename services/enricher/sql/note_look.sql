-- enricher: note_look
-- First: the row's lock lets in one enricher at a time.
insert into stream_look as s (looked_at, entries, entries_read, oldest_at)
values (clock_timestamp(), %(entries)s, %(entries_read)s, to_timestamp(%(oldest_s)s))
on conflict (singleton) do update
set looked_at = excluded.looked_at, entries = excluded.entries, entries_read = excluded.entries_read,
    oldest_at = excluded.oldest_at
