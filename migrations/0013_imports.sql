-- Imports of logs that are not finished: under which key they go on, and which days beyond the retention they opened.
create table imports (
    import_id uuid primary key,
    one_off_key text not null,
    began_at timestamptz not null default now(),
    days date[] not null default '{}'
);
comment on table imports is 'Imports of logs that are not finished. Run again, one goes on here; finished, its row goes.';
comment on column imports.import_id is 'Which import: made of the site and of the first request in each file, without address and User-Agent.';
comment on column imports.one_off_key is 'Name of the key under which its sessions are derived (services/session_keys.py).';
comment on column imports.began_at is 'When it was run last. Its days are kept open for a day from then.';
comment on column imports.days is 'Days beyond RETENTION_DAYS that it has opened: their hits are stored until they are counted, and are then dropped.';
