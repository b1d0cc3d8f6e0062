"""Another reporting time zone: moves the hits that are kept to the days that they have in it, while hits come in.

A hit's day is the date of ``received_at`` in the zone. Hits are moved in batches, each one transaction with what the
ledger says of both days. The rollups are put right by a rebuild afterwards, and show the former days until then. What
is left to do is read from the hits: a killed run is begun again, and goes on.

A hit that meets its twin (the same id on the same site) on its new day is one with it: the one received first stays,
the other becomes a duplicate in the ledger. A site's day whose hits are not all there any more stays as it is: no hit
leaves it or comes to it. Dead letters, duplicates and what was left out keep their dates: their times are not known.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import LiteralString, NamedTuple

import psycopg

from services.database import Connection, load_sql
from services.rollup.compare import days_known
from services.rollup.rebuild import Rebuilt, alone, rebuild_days
from services.rollups import REFRESH_LOCK

_SQL = Path(__file__).with_name("sql")
FREEZE_DAYS = load_sql(_SQL / "freeze_days.sql")
MISDATED_DAYS = load_sql(_SQL / "misdated_days.sql")
PICK_MISDATED = load_sql(_SQL / "pick_misdated.sql")
# Hits in a transaction, which keeps the refresh waiting: 10,000 take about 0.5 s.
BATCH = 10_000
APART_S = 0.3  # longer than the schedule waits between refreshes
# Hits that wait to be counted cannot be moved yet: for so long a rollup that runs may take to count them.
WAIT_S = 30.0
TRIES = 5  # of a batch that an enricher or upkeep crosses


def _mark_used(
    table: LiteralString, number: LiteralString, hits: LiteralString = "pg_temp.moving"
) -> LiteralString:
    """What hits name is kept as long as they are. Rows are locked in the order in which the enricher does."""
    return f"""-- rollup: mark {table} as used
with used as materialized (
    select t.{number}
    from {table} t
    where t.used_on < %(to_day)s and t.{number} in (select {number} from {hits})
    order by t.key
    for update
)
update {table} t set used_on = %(to_day)s from used u where t.{number} = u.{number}
"""


_MOVE: tuple[LiteralString, ...] = (
    _mark_used("sites", "site_id"),
    _mark_used("pages", "page_id"),
    _mark_used("titles", "title_id"),
    _mark_used("referrers", "referrer_id", "pg_temp.moving join origins using (origin_id)"),
    _mark_used("origins", "origin_id"),
    _mark_used("clients", "client_id"),
    *(
        load_sql(_SQL / f"{name}.sql")
        for name in ("find_twins", "take_moved", "put_moved", "book_moved", "read_again")
    ),
)


class DayClosed(psycopg.OperationalError):
    """Upkeep closed a day while hits moved to it: the batch is to be tried again."""


class Moved(NamedTuple):
    """What was committed."""

    day: datetime.date  # from which
    hits: int


class Misdated(NamedTuple):
    """Hits of a day that belong to another one and can be moved."""

    to_day: datetime.date
    hits: int
    waiting: int  # of them that are not counted yet


def prepare(connection: Connection) -> None:
    """Once for each connection: the temporary tables, and which days stay as they are."""
    with connection.transaction():
        connection.execute("set local client_min_messages = warning")
        connection.execute("create temporary table if not exists frozen (site_id integer, day date)")
        connection.execute("truncate pg_temp.frozen")
        connection.execute(FREEZE_DAYS)
        connection.execute(
            "create temporary table if not exists moving on commit delete rows as"
            " select h.*, h.ctid as place, h.day as to_day, false as has_twin, false as is_out"
            " from stored_hits h with no data"
        )


def misdated(connection: Connection, day: datetime.date, first_kept: datetime.date) -> list[Misdated]:
    """Where a day's hits belong instead; none belongs before ``first_kept``. ``prepare`` has been called."""
    with connection.transaction():
        rows = connection.execute(MISDATED_DAYS, {"day": day, "first_kept": first_kept}).fetchall()
    return [Misdated(*row) for row in rows]


def change_timezone(
    connection: Connection,
    retention_days: int,
    sleep: Callable[[float], None] = time.sleep,
    batch: int = BATCH,
) -> Iterator[Moved | Rebuilt]:
    """Move all hits to their days in the zone of the table installation, then count these days anew.

    Each step is committed when it is yielded. Raises ``psycopg.Error``, ``Busy``.
    """
    with alone(connection):
        first_kept = first_kept_day(connection, retention_days)
        yield from redate(
            connection, days_known(connection, first_kept, datetime.date.max), first_kept, sleep
        )
        yield from rebuild_days(connection, days_known(connection, first_kept, datetime.date.max), sleep)


def first_kept_day(connection: Connection, retention_days: int) -> datetime.date:
    """The oldest day whose hits are kept."""
    with connection.transaction():
        [(day,)] = connection.execute(
            "select (now() at time zone report_timezone)::date - %s::int from installation", [retention_days]
        ).fetchall()
    return day  # type: ignore[no-any-return]


def redate(
    connection: Connection,
    days: list[datetime.date],
    first_kept: datetime.date,
    sleep: Callable[[float], None] = time.sleep,
    batch: int = BATCH,
) -> Iterator[Moved]:
    """Move the hits of these days to where they belong; each batch is committed when it is yielded.

    For who is ``alone`` (``services.rollup.rebuild``). Raises ``psycopg.Error``.
    """
    prepare(connection)
    until_s = time.monotonic() + WAIT_S
    while True:
        moved = 0
        for day in _in_order(connection, days, first_kept):
            for hits in _redate_day(connection, day, first_kept, batch):
                moved += hits
                sleep(APART_S)
                yield Moved(day, hits)
        waiting = sum(there.waiting for day in days for there in misdated(connection, day, first_kept))
        if not moved and (not waiting or time.monotonic() > until_s):
            return
        if not moved:
            sleep(APART_S)


def _in_order(
    connection: Connection, days: list[datetime.date], first_kept: datetime.date
) -> list[datetime.date]:
    """The days that hits are to leave, each before others come: a hit waits for a twin that is still to leave."""
    forward = backward = 0
    found = []
    for day in days:
        there = misdated(connection, day, first_kept)
        forward += sum(hits for to_day, hits, _ in there if to_day > day)
        backward += sum(hits for to_day, hits, _ in there if to_day < day)
        if there:
            found.append(day)
    return sorted(found, reverse=forward > backward)


def _redate_day(
    connection: Connection, day: datetime.date, first_kept: datetime.date, batch: int
) -> Iterator[int]:
    for to_day, _, _ in misdated(connection, day, first_kept):
        about = {"day": day, "to_day": to_day, "first_kept": first_kept, "batch": batch}
        while hits := _try_batch(connection, about):
            yield hits


def _try_batch(connection: Connection, about: dict[str, object]) -> int:
    """Move one batch; again where an enricher stored a twin, or upkeep closed a day, at the same moment."""
    for _ in range(TRIES - 1):
        try:
            return _move_batch(connection, about)
        except (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected, DayClosed):
            continue
    return _move_batch(connection, about)


def _move_batch(connection: Connection, about: dict[str, object]) -> int:
    with connection.transaction():
        connection.execute("select open_hits_day(%(to_day)s)", about)
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(%s)", [REFRESH_LOCK])
        hits = connection.execute(PICK_MISDATED, about).rowcount
        if hits:
            for statement in _MOVE:
                connection.execute(statement, about)
            # Asked after the insert, whose lock keeps upkeep from closing the day until the commit.
            if connection.execute("select hits_day_is_open(%(to_day)s)", about).fetchone() != (True,):
                raise DayClosed
    return hits
