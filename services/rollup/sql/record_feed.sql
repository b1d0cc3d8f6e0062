-- rollup: record_feed
-- What is not known of this try stays as it was.
update feeds set
    tried_at = now(),
    ok_at = case when %(error)s::text is null then now() else ok_at end,
    read_at = case when %(was_read)s then now() else read_at end,
    error = %(error)s,
    entries = coalesce(%(entries)s, entries),
    skipped = coalesce(%(skipped)s, skipped),
    etag = case when %(was_read)s then %(etag)s else etag end,
    last_modified = case when %(was_read)s then %(last_modified)s else last_modified end
where feed = %(feed)s
