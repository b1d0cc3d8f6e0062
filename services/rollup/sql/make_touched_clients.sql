-- rollup: make_touched_clients
-- The same by client: one row for all sessions that had no other client on that day, and rows with session_id for the
-- few that had several (a language that changed, a telephone that was turned).
create temporary table if not exists touched_clients (
    day date not null,
    site_id integer not null,
    client_id integer not null,
    is_bot boolean not null,
    session_id uuid,
    is_pageview boolean not null,
    new_hits integer not null,
    pageviews integer not null,
    visitors integer not null,
    anonymous_pageviews integer not null,
    bot_hits integer not null,
    owner_hits integer not null
) on commit delete rows
