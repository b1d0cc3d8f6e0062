"""What jobs work with: each queue has a worker of its own, and each worker its connection to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from services.database import Connection, connect, let_server_notice
from services.logs import Logger
from services.metrics import RollupMetrics
from services.rollup import sessions
from services.rollup.refresh import prepare
from services.rollup.runs import SLOW_WITHIN_S, Runs
from services.settings import Settings

# Held (an advisory lock) by a slow job's connection: a process that does not work any more may be within one still.
SLOW_LOCK = 0x666F6F74736C6F77  # "footslow", as a number


class LockNotHadError(psycopg.OperationalError):
    """Somebody else held a lock for as long as this job may wait for it."""


@dataclass
class Parts:
    """What the jobs of one queue work with. ``connect`` opens a connection made ready for them."""

    settings: Settings
    connect: Callable[[Settings], Connection]
    runs: Runs
    metrics: RollupMetrics
    log: Logger
    keeps_connection: bool = False
    pace: sessions.Pace = field(default_factory=sessions.Pace, init=False)
    connection: Connection | None = field(default=None, init=False)

    def open_connection(self) -> Connection:
        """The worker's own connection, made anew after a failure; unless it is kept, after each run too."""
        if self.connection is None or self.connection.closed:
            self.connection = self.connect(self.settings)
        return self.connection

    def drop_connection(self) -> None:
        """Whatever state it is in, its locks and what it was doing end with it."""
        if self.connection is not None and not self.connection.closed:
            self.connection.close()


def connect_to_refresh(settings: Settings) -> Connection:
    """A connection for ``refresh``. Raises ``psycopg.OperationalError``."""
    connection = connect(settings, "rollup")
    let_server_notice(connection)
    prepare(connection)
    return connection


def connect_to_slow(settings: Settings) -> Connection:
    """A connection for slow jobs, of which there is one at a time. Raises ``psycopg.OperationalError``.

    A worker in a thread cannot interrupt a statement, so that PostgreSQL does.
    """
    connection = connect(settings, "rollup")
    let_server_notice(connection)
    with connection.transaction():
        row = connection.execute(
            "select pg_try_advisory_lock(%s), set_config('statement_timeout', %s, false)",
            [SLOW_LOCK, f"{SLOW_WITHIN_S}s"],
        ).fetchone()
    if not row or not row[0]:
        connection.close()
        raise LockNotHadError
    return connection
