"""Connections to PostgreSQL, SQL in named files, and how long a process waits for its servers."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, LiteralString, TypeVar

import psycopg

from services.key_files import read_password
from services.logs import Logger
from services.settings import Settings

PARTITION_DAYS_AHEAD = 7
Connection = psycopg.Connection[Any]
Answer = TypeVar("Answer")


# Made-up passwords of the roles that are ours, by the name of their files.
_PASSWORD_NAMES = {"footfall_enricher": "enricher", "footfall_rollup": "rollup"}


def connect(settings: Settings, application: str, *, autocommit: bool = False) -> Connection:
    """A connection as the role of DATABASE_URL. Raises ``psycopg.OperationalError``."""
    known: dict[str, Any] = dict(psycopg.conninfo.conninfo_to_dict(settings.database_url))
    known.setdefault("connect_timeout", 3)
    if not known.get("password"):
        name = _PASSWORD_NAMES.get(known.get("user", ""), "database")
        known["password"] = settings.database_password or read_password(settings.key_dir, name) or None
    return psycopg.connect(
        autocommit=autocommit,
        application_name=f"footfall {application}",
        # A server that vanished without a word is noticed after 10 s instead of two hours.
        keepalives_idle=5,
        keepalives_interval=2,
        keepalives_count=3,
        tcp_user_timeout=10_000,
        **known,
    )


def let_server_notice(connection: Connection) -> None:
    """For a connection that holds locks: they are free 2 s after its client ended, though a statement runs.

    If the client vanishes without a word, after 10 s; else after two hours, by Linux's default.
    """
    with connection.transaction():
        connection.execute(
            "select set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '2', false),"
            " set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '10000', false),"
            " set_config('client_connection_check_interval', '2s', false)"
        )


@contextlib.contextmanager
def cut_after(connection: Connection, seconds: float) -> Iterator[None]:
    """Cut the wire when the body takes longer; it then raises ``psycopg.OperationalError``.

    Keepalives do not notice a server that stands still, or one behind a proxy that answers for it.
    """
    number = os.dup(connection.fileno())
    timer = threading.Timer(seconds, _cut, [number])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        os.close(number)


def _cut(number: int) -> None:
    with socket.socket(fileno=os.dup(number)) as wire, contextlib.suppress(OSError):
        wire.shutdown(socket.SHUT_RDWR)


def place_of_database(url: str) -> str:
    """Where an address of a database leads, for a log: host, port and name, no user and no password."""
    known = psycopg.conninfo.conninfo_to_dict(url)
    return " ".join(f"{name} {known[name]}" for name in ("host", "port", "dbname") if name in known)


def load_sql(path: Path) -> LiteralString:
    """The statement in a file of the code. Its leading comment names it in the server's statistics."""
    return path.read_text()


def pauses_s(longest_s: float = 5.0) -> Iterator[float]:
    """Seconds to wait before each further try: 0.1 doubling to ``longest_s``, jittered."""
    pause = 0.1
    while True:
        yield pause * random.uniform(0.7, 1.3)
        pause = min(pause * 2, longest_s)


def wait_for(
    what: str,
    attempt: Callable[[], Answer],
    errors: tuple[type[BaseException], ...],
    log: Logger,
    *,
    stopped: Callable[[], bool] = lambda: False,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """What ``attempt`` returns once it works; says so in the log each time that it does not.

    Raises ``InterruptedError`` when ``stopped`` says that nobody waits any more.
    """
    for pause_s in pauses_s():
        try:
            return attempt()
        except errors as error:
            log.warning("waiting", what=what, error=type(error).__name__, next_try_s=round(pause_s, 1))
        if stopped():
            break
        sleep(pause_s)
    raise InterruptedError(what)


def wait_until_migrated(
    settings: Settings,
    application: str,
    statement: LiteralString,
    log: Logger,
    *,
    stopped: Callable[[], bool] = lambda: False,
) -> None:
    """Return once PostgreSQL answers a statement that needs this version's tables. Raises ``InterruptedError``."""

    def ask() -> None:
        with connect(settings, application) as connection:
            connection.execute(statement)

    wait_for(
        f"PostgreSQL at DATABASE_URL ({place_of_database(settings.database_url)}), migrated",
        ask,
        (psycopg.OperationalError, psycopg.ProgrammingError),
        log,
        stopped=stopped,
    )


def make_partitions(connection: Connection) -> int:
    """Make the partitions of `hits` from yesterday to a week from now; how many were missing."""
    with connection.transaction():
        row = connection.execute(
            "select count(*) filter (where open_hits_day((now() at time zone report_timezone)::date + d))"
            " from installation, generate_series(-1, %s) d",
            [PARTITION_DAYS_AHEAD],
        ).fetchone()
    return int(row[0]) if row else 0
