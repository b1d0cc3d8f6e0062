"""Counts the sessions of a day, and the pages at which they began and ended.

A later hit moves a session's exit page, so that nothing can be added up: a site's day is counted anew, on a slower
schedule than the other rollups. A refresh leaves a mark (``sessions_pending``) in its own transaction; a count takes
the marks that its snapshot sees, with the hits that it sees counted, and deletes just these. A crash at any
statement leaves the marks; a mark that comes later stays for the next count.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString, NamedTuple

from services.database import Connection, load_sql
from services.metrics import RollupMetrics

# Held (an advisory lock) by whoever counts sessions; a refresh never waits for it.
SESSIONS_LOCK = 0x666F6F7473657373  # "footsess", as a number
# A run begins no further day after that, so that today's are counted again soon; it does two at least, so that a
# long today does not keep the others waiting for ever.
RUN_FOR_S = 5.0
DAYS_AT_LEAST = 2
# Entry and exit pages may be a minute behind, and cost a twentieth of a core at most.
APART_S = 60.0
APART_RUNS = 20

_SQL = Path(__file__).with_name("sql")
MARKED_DAYS = load_sql(_SQL / "marked_days.sql")
GATHER_SESSIONS = load_sql(_SQL / "gather_sessions.sql")


class _Table(NamedTuple):
    """A rollup by day and site; ``counted``: its rows of the day, from the temporary table ``day_sessions``."""

    name: LiteralString
    dimensions: tuple[LiteralString, ...]
    measures: tuple[LiteralString, ...]
    counted: LiteralString


TABLES = (
    _Table("rollup_sessions", (), ("sessions", "single_page_sessions"), load_sql(_SQL / "sessions.sql")),
    _Table(
        "rollup_entries", ("page_id",), ("sessions", "single_page_sessions"), load_sql(_SQL / "entries.sql")
    ),
    _Table("rollup_exits", ("page_id",), ("sessions",), load_sql(_SQL / "exits.sql")),
)


def settle_statement(table: _Table) -> LiteralString:
    """Give the day's rows of some sites their values; those that have them stay untouched."""
    key: LiteralString = ", ".join(("site_id", *table.dimensions))
    measures: LiteralString = ", ".join(table.measures)
    return f"""-- rollup: settle {table.name}
with counted as materialized ({table.counted}),
gone as (
    delete from {table.name}
    where day = %(day)s and site_id = any(%(sites)s) and ({key}) not in (select {key} from counted)
)
insert into {table.name} as r (day, {key}, {measures})
select %(day)s, {key}, {measures} from counted order by {key}
on conflict (day, {key}) do update set {", ".join(f"{name} = excluded.{name}" for name in table.measures)}
where ({", ".join(f"r.{name}" for name in table.measures)})
   is distinct from ({", ".join(f"excluded.{name}" for name in table.measures)})
"""


# For the transaction. By the index on sessions the planner would fetch each hit from another page: at a million hits
# twice the time of reading them all and sorting them.
PLAN: LiteralString = "set local enable_indexscan = off; set local jit = off"


@contextlib.contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """One transaction that sees the database as it was at its first question."""
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        yield


def count_sessions(connection: Connection) -> int | None:
    """Count what is marked, each day in a transaction of its own; how many sites' days.

    None: another process counts. Raises ``psycopg.Error``; what was committed is done, all else is marked still.
    """
    with connection.transaction():
        row = connection.execute("select pg_try_advisory_lock(%s)", [SESSIONS_LOCK]).fetchone()
    if not row or not row[0]:
        return None
    try:
        return _count_days(connection)
    finally:
        if not connection.closed:
            with connection.transaction():
                connection.execute("select pg_advisory_unlock(%s)", [SESSIONS_LOCK])


def _count_days(connection: Connection) -> int:
    until_s = time.monotonic() + RUN_FOR_S
    with connection.transaction():
        days = [row[0] for row in connection.execute(MARKED_DAYS).fetchall()]
    counted = 0
    for number, day in enumerate(days):
        if number >= DAYS_AT_LEAST and time.monotonic() > until_s:
            break
        with snapshot(connection):
            counted += _count_day(connection, day)
    return counted


def _count_day(connection: Connection, day: datetime.date) -> int:
    rows = connection.execute(
        "select distinct site_id from sessions_pending where day = %s", [day]
    ).fetchall()
    parameters = {"day": day, "sites": [row[0] for row in rows]}
    if rows and _has_hits(connection, day):
        connection.execute(PLAN)
        connection.execute(GATHER_SESSIONS, parameters)
        for table in TABLES:
            connection.execute(settle_statement(table), parameters)
        connection.execute("drop table pg_temp.day_sessions")
    # The marks of this snapshot: whoever marked since then has counted hits that it does not see.
    connection.execute("delete from sessions_pending where day = %s", [day])
    return len(rows)


def _has_hits(connection: Connection, day: datetime.date) -> bool:
    """Whether the day's raw hits are kept: of days beyond the retention the last count stays for ever."""
    row = connection.execute("select to_regclass(%s) is not null", [f"hits_days.d{day:%Y%m%d}"]).fetchone()
    return bool(row and row[0])


def oldest_mark_age_s(connection: Connection) -> float:
    """Age of the oldest mark; 0: there is none."""
    row = connection.execute(
        "select coalesce(extract(epoch from clock_timestamp() - min(marked_at)), 0) from sessions_pending"
    ).fetchone()
    return float(row[0]) if row else 0.0


class Pace:
    """Counts no more often than may be. Times are those of ``time.monotonic()``."""

    def __init__(self) -> None:
        self._next_s = -math.inf

    def is_due(self, now_s: float) -> bool:
        """Whether a run may begin."""
        return now_s >= self._next_s

    def ran(self, began_s: float, ended_s: float) -> None:
        """A run went well; one that failed is the schedule's to try again."""
        self._next_s = began_s + max(APART_S, APART_RUNS * (ended_s - began_s))

    def count(self, connection: Connection, metrics: RollupMetrics) -> None:
        """A run. Raises ``psycopg.Error``."""
        began_s = time.monotonic()
        if count_sessions(connection):
            metrics.sessions_seconds.observe(time.monotonic() - began_s)
        self.ran(began_s, time.monotonic())
