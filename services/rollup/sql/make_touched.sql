-- rollup: make_touched
-- The hits that one refresh looks at; emptied at its end.
create temporary table if not exists touched (
    is_new boolean not null,
    is_pageview boolean not null,
    is_bot boolean not null,
    is_me boolean not null,
    received_at timestamptz not null,
    hit_id uuid not null,
    session_id uuid,
    day date not null,
    status smallint,
    country char(2),
    site text not null,
    host text not null,
    path text not null,
    title text,
    referrer text,
    source text,
    source_detail text,
    channel text not null
) on commit delete rows
