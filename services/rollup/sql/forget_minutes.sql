-- rollup: forget_minutes
-- The newest stays, however old: by it the dashboard says when the last hit came.
delete from ingest_minutes
where minute < now() - %(keep)s::interval and minute < (select max(minute) from ingest_minutes)
