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


def _numbered(name: LiteralString, number: LiteralString, texts: tuple[LiteralString, ...]) -> LiteralString:
    """Each row of a table that ``touched`` names by number, read once: a join for each hit took 3 us more."""
    # Grouped by bytes: a quarter of the cost of a language's order.
    values: LiteralString = ", ".join(
        text if text.endswith("_id") else f'{text} collate "C" as {text}' for text in texts
    )
    return f"""select {number}, {values}
    from {name} where {number} = any(array(select distinct {number} from touched))"""


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


def _begins(rollup: Rollup) -> LiteralString:
    """Whether a new hit is the first of its session in its cell."""
    return f"session_id is not null and {_sessions_of(rollup)} and in_{rollup.name} is not true"


# ``in_<rollup>``: a hit of the same kind and session is in the cell before it, be it an earlier one or one of a lower
# number. Each new hit is compared with each hit of its session, all cells at once: 1.4 us a hit, where grouping by
# session took 3 us for each rollup. A crowd, a session with more new hits than ``crowd``, is sorted once for each
# rollup instead: pairs would grow with the square.
_FRESH: LiteralString = f"""crowds as materialized (
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
), fresh as materialized (
    select touched.*,
           {_each_begun(lambda rollup: f"{_begins(rollup)} as begins_{rollup.name}")}
    from touched left join seen using (n)
    where n > 0
)"""


def _gathered(number: LiteralString, texts: tuple[LiteralString, ...]) -> LiteralString:
    """New hits with the same number are one row: ``hits``, and how many of them begin a session in which cell."""
    begun = tuple(rollup for rollup in BEGUN if _is_by(rollup, texts))
    key: LiteralString = f"day, site_id, {number}, is_pageview, is_event, is_bot, is_me"
    return f"""select *
    from (
        select {key}, count(*) as hits,
               {", ".join(f"count(*) filter (where begins_{r.name}) as begins_{r.name}" for r in begun)}
        from fresh
        group by {key}
    ) as gathered
    left join touched_{"origins" if texts is ORIGIN else "clients"} using ({number})"""


# What each rollup gets --------------------------------------------------------------------------------------------


def _add(rollup: Rollup) -> LiteralString:
    """Add what is new to the rollup's table."""
    counted = _count_by_session(rollup) if _sessions_of(rollup) and rollup.each else _count_fresh(rollup)
    return f"""added_{rollup.name} as (
    insert into rollup_{rollup.name} as r ({columns(rollup)})
    {counted}
    order by {key_of(rollup)}
    on conflict ({unique_key(rollup)}) do update set
        {", ".join(f"{name} = r.{name} + excluded.{name}" for name in rollup.measures)}
)"""


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


def _count_fresh(rollup: Rollup) -> LiteralString:
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
    group by {key_of(rollup)}"""


def _count_by_session(rollup: Rollup) -> LiteralString:
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
    having sum(new_hits) > 0"""


# One statement for all of it: with one for each rollup a refresh took 3 ms more of this process's CPU.
ADD: LiteralString = f"""-- rollup: add
with touched_origins as materialized (
    {_numbered("origins", "origin_id", ORIGIN)}
), touched_clients as materialized (
    {_numbered("clients", "client_id", CLIENT)}
), {_FRESH}, fresh_origins as materialized (
    {_gathered("origin_id", ORIGIN)}
), fresh_clients as materialized (
    {_gathered("client_id", CLIENT)}
), {", ".join(_add(rollup) for rollup in ROLLUPS)}
select count(*) from fresh
"""

MAKE_TOUCHED = load_sql(_SQL / "make_touched.sql")
TOUCH_NEW = load_sql(_SQL / "touch_new.sql")
TOUCH_EARLIER = load_sql(_SQL / "touch_earlier.sql")
TITLES = load_sql(_SQL / "titles.sql")
MARK_SESSIONS = load_sql(_SQL / "mark_sessions.sql")
