"""Adds the hits that a refresh has touched to each rollup of the list, as SQL made from it.

``touched`` has the new hits (``n`` from 1), and the earlier ones of the people among them (``n`` 0). ``fresh`` has
the new ones, of which each says where it is the first hit of its session: on that page, from that source, of that
country on that day. What rollups count by origin or by client is counted from ``fresh_origins`` and
``fresh_clients``, where hits with the same numbers are one row.

Times are CPU a hit in PostgreSQL 15, of 8,000 hits at a time, each of a visitor who had one hit before, on 2 cores.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import LiteralString

from services.database import load_sql
from services.rollup_statements import columns, key_of, unique_key
from services.rollups import MEASURES, ROLLUPS, Rollup

# New hits of one session that are compared one by one with all that it has: beyond that sorting costs less.
CROWD = 12

ORIGIN: tuple[LiteralString, ...] = (
    "referrer_id", "source", "source_detail", "channel", "utm_source", "utm_medium", "utm_campaign",
)  # fmt: skip
CLIENT: tuple[LiteralString, ...] = (
    "country", "browser", "os", "device", "language", "screen", "bot_name", "bot_class",
)  # fmt: skip

_SQL = Path(__file__).with_name("sql")


def _sessions_of(rollup: Rollup) -> LiteralString:
    """Which hits' sessions its cells count; empty: they count none."""
    of = (MEASURES[name] for name in rollup.measures)
    return next((measure.hits for measure in of if measure.of_sessions), "")


# Of these ``fresh`` says whether a hit is the first of its session in its cell: a column ``begins_<name>`` each.
# Where a hit may be in several cells one column would not do.
BEGUN = tuple(rollup for rollup in ROLLUPS if _sessions_of(rollup) and not rollup.each)


def _each_begun(form: Callable[[Rollup], LiteralString]) -> LiteralString:
    return ",\n           ".join(form(rollup) for rollup in BEGUN)


def _is_by(rollup: Rollup, numbered: tuple[LiteralString, ...]) -> bool:
    """Whether its cells are told by nothing but what one number stands for."""
    return bool(rollup.dimensions) and set(rollup.dimensions) <= set(numbered)


# Numbers, and what they stand for -----------------------------------------------------------------------------------


def _numbered(name: LiteralString, number: LiteralString, texts: tuple[LiteralString, ...]) -> LiteralString:
    """Each row of a table that ``touched`` names by number, once."""
    # Grouped by bytes: a quarter of the cost of a language's order.
    values: LiteralString = ", ".join(
        text if text.endswith("_id") else f'{text} collate "C" as {text}' for text in texts
    )
    return f"""select {number}, {values}
from {name} where {number} = any(array(select distinct {number} from touched))
"""


_ORIGINS = _numbered("origins", "origin_id", ORIGIN)
_CLIENTS = _numbered("clients", "client_id", CLIENT)
NAME_ORIGINS: LiteralString = f"-- rollup: touched_origins\ninsert into touched_origins\n{_ORIGINS}"
NAME_CLIENTS: LiteralString = f"-- rollup: touched_clients\ninsert into touched_clients\n{_CLIENTS}"


# Which hits begin a session in which cell ---------------------------------------------------------------------------


def _same(name: LiteralString) -> LiteralString:
    """Whether hits ``n`` and ``e`` have the same value of a dimension."""
    if name in ORIGIN:
        return f"eo.{name} is not distinct from o.{name}"
    if name in CLIENT:
        return f"ec.{name} is not distinct from c.{name}"
    return f"e.{name} is not distinct from n.{name}"


def _same_cell(rollup: Rollup) -> LiteralString:
    """Whether ``e`` is in the cell of ``n``, of the same session. No ``where`` tells hits of a cell apart."""
    same: LiteralString = " and ".join(_same(name) for name in rollup.dimensions) or "true"
    if _is_by(rollup, ORIGIN):
        return f"e.origin_id = n.origin_id or {same}"
    if _is_by(rollup, CLIENT):
        return f"e.client_id = n.client_id or {same}"
    return same


def _is_later(rollup: Rollup) -> LiteralString:
    """Whether a hit has one before it in its session and cell."""
    key: LiteralString = ", ".join(("day", "site_id", "session_id", "is_event", *rollup.dimensions))
    return f"n > min(n) over (partition by {key})"


# ``in_<rollup>``: a hit of the same kind and session is in the cell before it, be it an earlier one or one of a lower
# number. Each new hit is compared with each hit of its session, all cells at once: 1.4 us a hit, where grouping by
# session took 3 us for each rollup. A crowd, a session with more new hits than ``crowd``, is sorted once for each
# rollup instead: pairs would grow with the square.
FILL_FRESH: LiteralString = f"""-- rollup: fill_fresh
insert into fresh
with crowds as materialized (
    select session_id from touched where n > 0 and session_id is not null
    group by session_id having count(*) > %(crowd)s
), seen as (
    select n.n, {_each_begun(lambda rollup: f"bool_or({_same_cell(rollup)}) as in_{rollup.name}")}
    from touched n
    join touched e using (session_id, day, site_id, is_event)
    left join touched_origins o on o.origin_id = n.origin_id
    left join touched_origins eo on eo.origin_id = e.origin_id
    left join touched_clients c on c.client_id = n.client_id
    left join touched_clients ec on ec.client_id = e.client_id
    where n.n > 0 and (n.is_pageview or n.is_event) and (e.is_pageview or e.is_event) and e.n < n.n
      and not exists (select from crowds where crowds.session_id = n.session_id)
    group by n.n
    union all
    select n, {_each_begun(lambda rollup: f"in_{rollup.name}")}
    from (
        select n, {_each_begun(lambda rollup: f"{_is_later(rollup)} as in_{rollup.name}")}
        from touched left join touched_origins using (origin_id) left join touched_clients using (client_id)
        where (is_pageview or is_event) and session_id in (select session_id from crowds)
    ) as crowd
    where n > 0
)
select touched.*,
       {_each_begun(lambda r: f"session_id is not null and {_sessions_of(r)} and in_{r.name} is not true")}
from touched left join seen using (n)
where n > 0
"""


# Hits with the same numbers -----------------------------------------------------------------------------------------


def _gathered(
    number: LiteralString, touched: LiteralString, texts: tuple[LiteralString, ...]
) -> LiteralString:
    """New hits by what decides of their cells."""
    begun = tuple(rollup for rollup in BEGUN if _is_by(rollup, texts))
    key: LiteralString = f"day, site_id, {number}, is_pageview, is_event, is_bot, is_me"
    return f"""select *
from (
    select {key}, count(*)::int as hits,
           {", ".join(f"(count(*) filter (where begins_{r.name}))::int as begins_{r.name}" for r in begun)}
    from fresh
    group by {key}
) as gathered
left join {touched} using ({number})
"""


_BY_ORIGIN = _gathered("origin_id", "touched_origins", ORIGIN)
_BY_CLIENT = _gathered("client_id", "touched_clients", CLIENT)
GATHER_ORIGINS: LiteralString = f"-- rollup: fresh_origins\ninsert into fresh_origins\n{_BY_ORIGIN}"
GATHER_CLIENTS: LiteralString = f"-- rollup: fresh_clients\ninsert into fresh_clients\n{_BY_CLIENT}"


# The statements -----------------------------------------------------------------------------------------------------


def add_statement(rollup: Rollup) -> LiteralString:
    """The statement that adds what is new to the rollup's table."""
    counted = _add_by_session(rollup) if _sessions_of(rollup) and rollup.each else _add_fresh(rollup)
    return f"""-- rollup: add to rollup_{rollup.name}
insert into rollup_{rollup.name} as r ({columns(rollup)})
{counted}order by {key_of(rollup)}
on conflict ({unique_key(rollup)}) do update set
    {", ".join(f"{name} = r.{name} + excluded.{name}" for name in rollup.measures)}
"""


def _rows_of(rollup: Rollup) -> tuple[LiteralString, bool]:
    """Where its new hits are, and whether they are gathered there."""
    if _is_by(rollup, ORIGIN):
        return "fresh_origins", True
    if _is_by(rollup, CLIENT):
        return "fresh_clients", True
    rows: LiteralString = "fresh"
    if not set(rollup.dimensions).isdisjoint(ORIGIN):
        rows += " left join touched_origins using (origin_id)"
    if not set(rollup.dimensions).isdisjoint(CLIENT):
        rows += " left join touched_clients using (client_id)"
    return rows, False


def _add_fresh(rollup: Rollup) -> LiteralString:
    """What each cell is to get, from the new hits."""
    rows, gathered = _rows_of(rollup)

    def count(name: LiteralString) -> LiteralString:
        measure = MEASURES[name]
        begins: LiteralString = f"begins_{rollup.name}"
        if gathered:
            return f"sum({begins})" if measure.of_sessions else f"sum(hits) filter (where {measure.hits})"
        return f"count(*) filter (where {begins if measure.of_sessions else measure.hits})"

    return f"""select {key_of(rollup)}, {", ".join(count(name) for name in rollup.measures)}
from {rows} {rollup.each}
where {rollup.where}
group by {key_of(rollup)}
"""


def _add_by_session(rollup: Rollup) -> LiteralString:
    """What each cell is to get, from ``touched``: few hits have several cells."""
    key = key_of(rollup)
    return f"""select {key}, {", ".join(f"sum({name})" for name in rollup.measures)}
from (
    select {key}, count(*) filter (where is_new) as new_hits,
           {", ".join(f"{MEASURES[name].added} as {name}" for name in rollup.measures)}
    from (select *, n > 0 as is_new from touched) as touched {rollup.each}
    where {rollup.where}
    group by {key}, session_id
) as sessions
group by {key}
having sum(new_hits) > 0
"""


ADD_STATEMENTS = tuple(add_statement(rollup) for rollup in ROLLUPS)

_MAKE: LiteralString = "create temporary table if not exists"
MAKE_TABLES: tuple[LiteralString, ...] = (
    load_sql(_SQL / "make_touched.sql"),
    f"{_MAKE} touched_origins on commit delete rows as {_ORIGINS} with no data",
    f"{_MAKE} touched_clients on commit delete rows as {_CLIENTS} with no data",
    f"{_MAKE} fresh on commit delete rows as"
    f" select *, {_each_begun(lambda rollup: f'false as begins_{rollup.name}')} from touched with no data",
    f"{_MAKE} fresh_origins on commit delete rows as {_BY_ORIGIN} with no data",
    f"{_MAKE} fresh_clients on commit delete rows as {_BY_CLIENT} with no data",
)
TOUCH_NEW = load_sql(_SQL / "touch_new.sql")
TOUCH_EARLIER = load_sql(_SQL / "touch_earlier.sql")
TITLES = load_sql(_SQL / "titles.sql")
MARK_SESSIONS = load_sql(_SQL / "mark_sessions.sql")
# Once ``fresh`` is filled.
COUNT_STATEMENTS = (GATHER_ORIGINS, GATHER_CLIENTS, *ADD_STATEMENTS, TITLES)
