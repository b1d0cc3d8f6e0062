-- rollup: make_touched
-- The hits that one refresh looks at; emptied at its end.
create temporary table if not exists touched (
    is_new boolean not null,
    is_pageview boolean not null,
    is_event boolean not null,
    is_bot boolean not null,
    is_me boolean not null,
    status smallint not null,
    n integer not null,  -- of new hits from 1, of earlier ones 0
    day date not null,
    received_at timestamptz not null,
    hour_starts_at timestamptz not null,
    hit_id uuid not null,
    session_id uuid,
    site_id integer not null,
    page_id integer not null,
    title_id integer not null,
    referrer_id integer not null,
    -- Grouped by bytes: a quarter of the cost of a language's order.
    source text collate "C",
    source_detail text collate "C",
    channel text collate "C" not null,
    utm_source text collate "C",
    utm_medium text collate "C",
    utm_campaign text collate "C",
    country char(2) collate "C",
    browser text collate "C",
    os text collate "C",
    device text collate "C",
    language text collate "C",
    screen text collate "C",
    bot_name text collate "C",
    bot_class text collate "C",
    event text collate "C",
    props jsonb
) on commit delete rows
