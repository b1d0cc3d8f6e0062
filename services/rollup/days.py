"""The days whose raw hits are kept, and closing those to which hits come no more.

A closed day has no indexes: two fifths of what it took (see ``open_hits_day``), and is frozen, so that PostgreSQL has
no reason to look at it again.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import LiteralString, NamedTuple

import psycopg
from psycopg import sql

from services.database import Connection, load_sql

# Closing and detaching need a lock that a long question of an analyst holds off: then the next hour will do. Whoever
# stores or counts hits waits behind them meanwhile.
LOCK_TIMEOUT_MS = 500
# Days after its end on which a day is closed: spooled hits of an outage come within hours as a rule. Later ones open
# it again, at some seconds for a million hits.
CLOSE_AFTER_DAYS = 2

# By these hits are joined to texts. PostgreSQL analyses each day by itself, and knows nothing of all days together:
# it then takes one hit in 200 for a site's, and looks clients up one by one, which was 2.6 s in place of 1.4 for 30
# days with 10 million stored hits. It costs 5 s there, and holds nobody up but who makes a partition.
ANALYZE_HITS: LiteralString = (
    "analyze (skip_locked) stored_hits (site_id, page_id, title_id, origin_id, client_id)"
)

DAYS = load_sql(Path(__file__).with_name("sql") / "days.sql")


class Day(NamedTuple):
    """A day whose raw hits are kept."""

    day: datetime.date
    partition: str
    is_open: bool
    is_vacuumed: bool
    is_waiting: bool


def kept_days(connection: Connection) -> list[Day]:
    """Oldest first."""
    with connection.transaction():
        return [Day(*row) for row in connection.execute(DAYS).fetchall()]


def day_before(connection: Connection, ago: datetime.timedelta) -> datetime.date:
    """The date in the reporting time zone, a while ago by the clock of the server."""
    with connection.transaction():
        row = connection.execute(
            "select ((now() - %s) at time zone report_timezone)::date from installation", [ago]
        ).fetchone()
    if not row:
        raise LookupError("installation has no row: is the database migrated?")
    day: datetime.date = row[0]
    return day


def limit_waiting(connection: Connection) -> None:
    """For the transaction: ``psycopg.errors.LockNotAvailable`` instead of waiting longer."""
    connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT_MS)))


def close_days(connection: Connection) -> list[datetime.date]:
    """Close the days that are over, vacuum those that are closed, and analyse all; the days that were closed.

    A day whose lock is not had within half a second is left for the next time. A hit that is stored right then finds
    the day closed at the end of its transaction, and is stored by the next try, which opens it again. Raises
    ``psycopg.Error``.
    """
    last = day_before(connection, datetime.timedelta()) - datetime.timedelta(days=CLOSE_AFTER_DAYS + 1)
    closed = []
    for day in kept_days(connection):
        if day.day > last or day.is_waiting:
            continue
        is_new = day.is_open and _close(connection, day.day)
        if is_new:
            closed.append(day.day)
        # Also what a kill left between the two, and the days that a migration wrote.
        if is_new or not (day.is_open or day.is_vacuumed):
            _vacuum(connection, day.partition)
    if closed:
        _outside_transactions(connection, ANALYZE_HITS)
    return closed


def _close(connection: Connection, day: datetime.date) -> bool:
    try:
        with connection.transaction():
            limit_waiting(connection)
            connection.execute("select close_hits_day(%s)", [day])
    except psycopg.errors.LockNotAvailable:
        return False
    return True


def _vacuum(connection: Connection, partition: str) -> None:
    """Freeze and analyse; a table that somebody holds is passed over."""
    table = sql.Identifier("hits_days", partition)
    _outside_transactions(connection, sql.SQL("vacuum (freeze, analyze, skip_locked) {}").format(table))


def _outside_transactions(connection: Connection, statement: LiteralString | sql.Composed) -> None:
    was = connection.autocommit
    connection.autocommit = True
    try:
        connection.execute(statement)
    finally:
        if not connection.closed:
            connection.autocommit = was
