-- bench: functions that draw
create schema bench;

-- From 0 to 1, the same for the same session and number. The session is the seed, which is mixed in with all its bits.
create function bench.chance(session bigint, number bigint) returns double precision
language sql immutable parallel safe as $$
    select (hashint8extended(number, session) & 9007199254740991)::double precision / 9007199254740992
$$;

-- A place from 0 to places - 1 by Zipf's law.
create function bench.rank(chance double precision, places integer) returns integer
language sql immutable parallel safe as $$
    select floor(exp(chance * ln(places + 1)))::integer - 1
$$;

-- Where in bench.pages the page of a session's step stands.
create function bench.page_place(
    session bigint, step integer, first_page integer, pages integer, first_missing integer,
    missing_share double precision, missing_pages integer
) returns integer language sql immutable parallel safe as $$
    select case when bench.chance(session, 105 + step * 10) < missing_share
                then first_missing + bench.rank(bench.chance(session, 106 + step * 10), missing_pages)
                else first_page + bench.rank(bench.chance(session, 106 + step * 10), pages) end
$$;

create table bench.sites (
    site_id integer, first_page integer, pages integer, first_missing integer,
    from_share double precision, to_share double precision
);
create table bench.pages (
    place integer primary key, page_id integer, is_missing boolean, title_id integer, later_title_id integer,
    link_origin_id integer
);
create table bench.origins (place integer primary key, origin_id integer);
create table bench.clients (place integer primary key, client_id integer);
create table bench.events (place integer primary key, event text, props jsonb);
