"""What the services' tests share: hypothesis's profile, a Redis of a test's own, a database of a module's own."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import tests.strategies  # noqa: F401 - registers and loads hypothesis's profile
from services.hit import Group, RawHit, decode_group, open_group
from services.hit_stream import FIELD, STREAM
from services.sealing import SealingKeys
from tests.conftest import Database, cloned, start_server
from tools.servers import Postgres, Redis, free_port

_numbers = itertools.count(1)


class OwnRedis:
    """A Redis that a test may stop, kill and start again; it fsyncs every write, as a deployed one does."""

    def __init__(self, server: Redis, log: Path) -> None:
        self.server = server
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server.port}/0"

    def start(self) -> None:
        self.process = start_server(self.server, self._log)

    def send(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)


@pytest.fixture
def own_redis(redis_server: Redis, servers_folder: Path) -> Iterator[OwnRedis]:
    """A Redis of the test's own."""
    name = f"redis-{next(_numbers)}"
    server = Redis(redis_server.binaries, servers_folder / name, free_port(), appendfsync="always")
    own = OwnRedis(server, servers_folder / f"{name}.log")
    own.start()
    yield own
    own.send(signal.SIGCONT)
    own.kill()


def groups_in(url: str) -> list[Group]:
    """The groups on the stream, as they lie there."""
    client: Any = redis.Redis.from_url(url)
    return [decode_group(fields[FIELD]) for _, fields in client.xrange(STREAM)]


def hits_in(url: str, keys: SealingKeys) -> list[RawHit]:
    """The raw hits on the stream."""
    return [hit for group in groups_in(url) for hit in open_group(group, keys)]


# A database of a module's own ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def module_database(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """A migrated database that the tests of a module share, one after the other."""
    with cloned(postgres, template_database) as database:
        yield database


@pytest.fixture
def emptied_database(module_database: Database) -> Database:
    """The module's database, empty, and nobody else on it."""
    with module_database.connect() as connection:
        connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        names = connection.execute(
            "select string_agg(oid::regclass::text, ', ') from pg_class"
            " where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
            " and relname not in ('installation', 'countries', 'schema_migrations')"
        ).fetchone()
        assert names
        connection.execute(f"truncate {names[0]}")
        connection.execute("update installation set report_timezone = 'UTC'")
    return module_database
