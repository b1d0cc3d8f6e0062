"""Finds what is wrong with a day: cells of rollups, entry and exit pages, titles, against the plain definition.

``load`` takes a day's counted hits into a temporary table once, and each definition is then run over that: half the
time of as many questions to ``hits_to_count``. All about a day is to be asked in one transaction on one snapshot.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import LiteralString, NamedTuple

from services.database import Connection, load_sql
from services.rollup_statements import plain_statement
from services.rollups import ROLLUPS, Rollup

_SQL = Path(__file__).with_name("sql")
LOAD_DAY = load_sql(_SQL / "load_day.sql")
LOAD_TITLES = load_sql(_SQL / "load_titles.sql")
LOAD_SESSIONS = load_sql(_SQL / "load_sessions.sql")
TITLES_BEHIND = load_sql(_SQL / "titles_behind.sql")
DAYS_KEPT = load_sql(_SQL / "days_kept.sql")
HITS_GONE = load_sql(_SQL / "hits_gone.sql")


class Compared(NamedTuple):
    """A table of cells, and what it must say of a day."""

    name: LiteralString  # of the table
    key: tuple[LiteralString, ...]
    measures: tuple[LiteralString, ...]
    plain: LiteralString  # its rows of the day that is loaded
    only: LiteralString = "true"  # which of its rows, of both sides, can be compared


def _compared(rollup: Rollup) -> Compared:
    return Compared(
        f"rollup_{rollup.name}",
        ("day", "site_id", *rollup.dimensions),
        rollup.measures,
        plain_statement(rollup, "true", "pg_temp.loaded", counted="true"),
    )


COMPARED = tuple(_compared(rollup) for rollup in ROLLUPS)

# Counted anew on a slower schedule: what waits for that, or for the refresh that will ask for it, is not wrong.
_SETTLED: LiteralString = """
    not exists (select from sessions_pending p where p.site_id = c.site_id and p.day = c.day)
    and not exists (
        select from rollup_pending w join sites s using (site) where s.site_id = c.site_id and w.day = c.day
    )"""
SESSIONS = (
    Compared(
        "rollup_sessions",
        ("day", "site_id"),
        ("sessions", "single_page_sessions"),
        "select day, site_id, count(*)::int as sessions,"
        " count(*) filter (where is_single)::int as single_page_sessions"
        " from pg_temp.loaded_sessions group by day, site_id",
        only=_SETTLED,
    ),
    Compared(
        "rollup_entries",
        ("day", "site_id", "page_id"),
        ("sessions", "single_page_sessions"),
        "select day, site_id, entry_page_id as page_id, count(*)::int as sessions,"
        " count(*) filter (where is_single)::int as single_page_sessions"
        " from pg_temp.loaded_sessions group by day, site_id, entry_page_id",
        only=_SETTLED,
    ),
    Compared(
        "rollup_exits",
        ("day", "site_id", "page_id"),
        ("sessions",),
        "select day, site_id, exit_page_id as page_id, count(*)::int as sessions"
        " from pg_temp.loaded_sessions group by day, site_id, exit_page_id",
        only=_SETTLED,
    ),
)


def wrong_statement(compared: Compared) -> LiteralString:
    """The cells of the loaded day that are otherwise than the definition says. Parameter: ``day``.

    Columns: the key, then ``is_<measure>`` as the table has it, then ``should_<measure>``; NULL: it has no such row,
    or should have none.
    """
    key: LiteralString = ", ".join(compared.key)
    measures: LiteralString = ", ".join(compared.measures)
    none: LiteralString = ", ".join("null::int" for _ in compared.measures)
    is_now: LiteralString = ", ".join(f"max(is_{name})" for name in compared.measures)
    should_be: LiteralString = ", ".join(f"max(should_{name})" for name in compared.measures)
    names: tuple[LiteralString, ...] = tuple(
        f"{side}_{name}" for side in ("is", "should") for name in compared.measures
    )
    named: LiteralString = ", ".join(names)
    both: LiteralString = ", ".join(f"max({name}) as {name}" for name in names)
    return f"""-- rollup: wrong cells of {compared.name}
select {key}, {both}
from (
    select {key}, {measures}, {none} from {compared.name} c where day = %(day)s and {compared.only}
    union all
    select {key}, {none}, {measures} from ({compared.plain}) c where {compared.only}
) as sides ({key}, {named})
group by {key}
having row({is_now}) is distinct from row({should_be})
"""


class Gone(NamedTuple):
    """A site's day whose raw hits are not all there."""

    site: str
    day: datetime.date
    stored: int  # by the ledger
    rows: int  # that are there


def days_known(connection: Connection, first: datetime.date, last: datetime.date) -> list[datetime.date]:
    """The days of a range that have a partition, a place in the ledger, or rows in a rollup."""
    tables: LiteralString = " union ".join(
        f"select day from {compared.name} where day between %(first)s and %(last)s"
        for compared in (*COMPARED, *SESSIONS)
    )
    with connection.transaction():
        rows = connection.execute(
            f"{DAYS_KEPT} union {tables} order by 1", {"first": first, "last": last}
        ).fetchall()
    return [day for (day,) in rows]


def hits_gone(connection: Connection, first: datetime.date, last: datetime.date) -> list[Gone]:
    """Sites' days of a range whose hits are not as many as the ledger says."""
    rows = connection.execute(HITS_GONE, {"first": first, "last": last}).fetchall()
    return [Gone(*row) for row in rows]


def prepare(connection: Connection) -> None:
    """Once for each connection: the temporary tables."""
    with connection.transaction():
        connection.execute("set local client_min_messages = warning")
        for statement in (
            "create temporary table if not exists loaded on commit delete rows as"
            " select * from hits_to_count with no data",
            "create temporary table if not exists loaded_sessions (day date, site_id integer, entry_page_id integer,"
            " exit_page_id integer, is_single boolean) on commit delete rows",
            "create temporary table if not exists loaded_titles (page_id integer, title_id integer,"
            " received_at timestamptz, hit_id uuid) on commit delete rows",
        ):
            connection.execute(statement)


def load(connection: Connection, day: datetime.date) -> int:
    """Take a day's counted hits, its sessions, and the newest titles of its pages; how many hits."""
    connection.execute("truncate pg_temp.loaded, pg_temp.loaded_sessions, pg_temp.loaded_titles")
    hits = connection.execute(LOAD_DAY, {"day": day}).rowcount
    connection.execute(LOAD_SESSIONS)
    connection.execute(LOAD_TITLES)
    return hits


def wrong_tables(connection: Connection, day: datetime.date) -> list[str]:
    """The tables that are otherwise than the loaded day says."""
    found: list[str] = [
        compared.name
        for compared in (*COMPARED, *SESSIONS)
        if connection.execute(wrong_statement(compared), {"day": day}).fetchone()
    ]
    if connection.execute(TITLES_BEHIND).fetchone():
        found.append("rollup_titles")
    return found
