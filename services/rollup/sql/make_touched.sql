-- rollup: make_touched
-- The hits that one refresh looks at; emptied at its end.
create temporary table if not exists touched (
    n integer not null,  -- of new hits from 1, of earlier ones 0
    day date not null,
    site_id integer not null,
    page_id integer not null,
    origin_id integer not null,
    client_id integer not null,
    hour_starts_at timestamptz not null,
    session_id uuid,
    is_pageview boolean not null,
    is_event boolean not null,
    is_bot boolean not null,
    is_me boolean not null,
    status smallint,
    title_id integer,
    received_at timestamptz,
    hit_id uuid,
    -- Grouped by bytes: a quarter of the cost of a language's order.
    event text collate "C",
    props jsonb
) on commit delete rows
