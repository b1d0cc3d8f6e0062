"""`make rebuild`: counts days anew from their hits and puts right what is wrong in the rollups, while hits come in.

Wrong cells of a day are found on one snapshot, without a lock. A cell stays wrong by the same amount whatever a
refresh (or `make renormalise`) adds meanwhile, because it adds what its hits change and never looks at what stands
there. So the difference is added, under the refresh's lock, which is held for that alone. A day is one transaction: a
killed rebuild leaves each day right or as it was.

A day whose raw hits are not all there any more (retention, a partition that was dropped by hand) keeps its rollups.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

from services.database import PARTITION_DAYS_AHEAD, Connection, load_sql
from services.rollup import compare
from services.rollup.compare import COMPARED, SESSIONS, Gone, wrong_statement
from services.rollup_statements import columns, plain_statement, same, unique_key
from services.rollups import REFRESH_LOCK, ROLLUPS, Rollup

_SQL = Path(__file__).with_name("sql")
FIND_TITLES = load_sql(_SQL / "find_titles.sql")
FIND_TRUE_TITLES = load_sql(_SQL / "find_true_titles.sql")
TAKE_TITLES = load_sql(_SQL / "take_titles.sql")
PUT_TITLES = load_sql(_SQL / "put_titles.sql")
MARK_WRONG_SESSIONS = load_sql(_SQL / "mark_wrong_sessions.sql")
OPEN_MISSING = load_sql(_SQL / "open_missing.sql")
# Held (an advisory lock) by a rebuild as long as it runs: one at a time. What a second one found wrong would be put
# right by the first, and then be wrong by as much the other way.
REBUILD_LOCK = 0x666F6F7472656275  # "footrebu", as a number
# After a day that was written: a refresh tries for its lock every 50 ms.
APART_S = 0.1


class Busy(Exception):
    """Another rebuild works on this database; the text says what to do."""


@dataclass
class Rebuilt:
    """What became of a day."""

    day: datetime.date
    hits: int = 0  # that were counted anew
    cells: dict[str, int] = field(default_factory=dict)  # that were wrong, by table
    titles: int = 0  # pages whose title was wrong
    partition_made: bool = False  # it was missing
    gone: list[Gone] = field(default_factory=list)  # why the day was not rebuilt
    locked_s: float = 0.0  # for how long no hit could be counted


def rebuild(
    connection: Connection, days: list[datetime.date], sleep: Callable[[float], None] = time.sleep
) -> Iterator[Rebuilt]:
    """Count days anew; each is committed when it is yielded. Raises ``psycopg.Error``, ``Busy``."""
    with alone(connection):
        yield from rebuild_days(connection, days, sleep)


def rebuild_days(
    connection: Connection, days: list[datetime.date], sleep: Callable[[float], None] = time.sleep
) -> Iterator[Rebuilt]:
    """The same for who is ``alone`` already."""
    prepare(connection)
    for day in days:
        rebuilt = rebuild_day(connection, day)
        if rebuilt.locked_s:
            sleep(APART_S)
        yield rebuilt


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Keep other rebuilds out, until the end of this or of the connection. Raises ``Busy``."""
    with connection.transaction():
        # A killed rebuild lets go of its locks in the midst of a statement too.
        connection.execute("set client_connection_check_interval = '1s'")
        row = connection.execute("select pg_try_advisory_lock(%s)", [REBUILD_LOCK]).fetchone()
    if not row or not row[0]:
        raise Busy("another `make rebuild` works on this database: wait for its end")
    try:
        yield
    finally:
        if not connection.closed:
            with connection.transaction():
                connection.execute("select pg_advisory_unlock(%s)", [REBUILD_LOCK])


def prepare(connection: Connection) -> None:
    """Once for each connection: the temporary tables."""
    compare.prepare(connection)
    with connection.transaction():
        connection.execute("set local client_min_messages = warning")
        for compared in (*COMPARED, *SESSIONS):
            statement: LiteralString = f"create temporary table if not exists wrong_{compared.name} as "
            connection.execute(
                f"{statement}{wrong_statement(compared)} with no data", {"day": datetime.date.min}
            )
        connection.execute(
            "create temporary table if not exists wrong_titles ("
            "page_id integer, title_id integer, received_at timestamptz, hit_id uuid,"
            " false_title_id integer, false_received_at timestamptz, false_hit_id uuid)"
        )


def rebuild_day(connection: Connection, day: datetime.date) -> Rebuilt:
    """Find what is wrong with a day, and put it right, on a connection that is prepared and ``alone``."""
    rebuilt = Rebuilt(day)
    with connection.transaction():
        made = connection.execute(OPEN_MISSING, {"day": day, "ahead": PARTITION_DAYS_AHEAD}).fetchone()
        rebuilt.partition_made = bool(made and made[0])
    with connection.transaction():
        connection.execute("set transaction isolation level repeatable read")
        rebuilt.gone = compare.hits_gone(connection, day, day)
        if rebuilt.gone:
            return rebuilt
        rebuilt.hits = compare.load(connection, day)
        _find(connection, rebuilt)
    if rebuilt.cells or rebuilt.titles:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", [REFRESH_LOCK])
            locked_at_s = time.monotonic()
            _put_right(connection, rebuilt)
        rebuilt.locked_s = time.monotonic() - locked_at_s
    return rebuilt


def _find(connection: Connection, rebuilt: Rebuilt) -> None:
    day = {"day": rebuilt.day}
    for compared in (*COMPARED, *SESSIONS):
        statement: LiteralString = f"insert into pg_temp.wrong_{compared.name} {wrong_statement(compared)}"
        if found := connection.execute(statement, day).rowcount:
            rebuilt.cells[compared.name] = found
    rebuilt.titles = connection.execute(FIND_TITLES, day).rowcount
    if rebuilt.titles:
        connection.execute(FIND_TRUE_TITLES)


def _put_right(connection: Connection, rebuilt: Rebuilt) -> None:
    # The planner knows nothing of the temporary tables, expects few cells, and would join them by loops: minutes.
    connection.execute("set local enable_nestloop = off")
    for rollup in ROLLUPS:
        if f"rollup_{rollup.name}" in rebuilt.cells:
            connection.execute(add_differences(rollup))
            connection.execute(take_empty(rollup), {"day": rebuilt.day})
            connection.execute(f"truncate pg_temp.wrong_rollup_{rollup.name}")
    if any(compared.name in rebuilt.cells for compared in SESSIONS):
        connection.execute(MARK_WRONG_SESSIONS)
        connection.execute("truncate " + ", ".join(f"pg_temp.wrong_{compared.name}" for compared in SESSIONS))
    if rebuilt.titles:
        connection.execute(TAKE_TITLES)
        connection.execute(PUT_TITLES)
        connection.execute("truncate pg_temp.wrong_titles")


def add_differences(rollup: Rollup) -> LiteralString:
    """The statement that adds to each wrong cell what it lacks or has too much."""
    differences: LiteralString = ", ".join(
        f"coalesce(should_{name}, 0) - coalesce(is_{name}, 0)" for name in rollup.measures
    )
    return f"""-- rollup: put rollup_{rollup.name} right
insert into rollup_{rollup.name} as r ({columns(rollup)})
select {", ".join(("day", "site_id", *rollup.dimensions))}, {differences}
from pg_temp.wrong_rollup_{rollup.name}
order by day, site_id
on conflict ({unique_key(rollup)}) do update set
    {", ".join(f"{name} = r.{name} + excluded.{name}" for name in rollup.measures)}
"""


def take_empty(rollup: Rollup) -> LiteralString:
    """The statement that takes the cells that no hit has. Parameter: ``day``."""
    key: tuple[LiteralString, ...] = ("day", "site_id", *rollup.dimensions)
    # Where all hits have a cell some are in no measure of it: all zeros may be right, by a hit that came meanwhile.
    plain = plain_statement(rollup, "h.day = %(day)s")
    still: LiteralString = f"and not exists (select from ({plain}) p where {same('p', 'r', key)})"
    return f"""-- rollup: take empty cells from rollup_{rollup.name}
delete from rollup_{rollup.name} r
using pg_temp.wrong_rollup_{rollup.name} w
where w.should_{rollup.measures[0]} is null and r.day = %(day)s and {same("r", "w", key)}
  and {" and ".join(f"r.{name} = 0" for name in rollup.measures)}
  {still if rollup.where == "true" else ""}
"""
