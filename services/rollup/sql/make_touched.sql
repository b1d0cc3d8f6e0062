-- rollup: make_touched
-- The hits that one refresh looks at; emptied at its end.
create temporary table if not exists touched (
    is_new boolean not null,
    is_pageview boolean not null,
    is_event boolean not null,
    is_bot boolean not null,
    is_me boolean not null,
    status smallint not null,
    day date not null,
    received_at timestamptz not null,
    hour_starts_at timestamptz not null,
    hit_id uuid not null,
    session_id uuid,
    site_id integer not null,
    page_id integer not null,
    title_id integer not null,
    client_id integer not null,
    referrer_id integer not null,
    source text,
    source_detail text,
    channel text not null,
    utm_source text,
    utm_medium text,
    utm_campaign text,
    event text,
    props jsonb
) on commit delete rows
