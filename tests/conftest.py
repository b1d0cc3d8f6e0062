"""Real servers for tests: one throw-away PostgreSQL and one Redis a session, a fresh database a test."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from services.database import make_partitions
from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import migrate
from services.settings import Settings, load_settings
from tools.servers import (
    Postgres,
    Redis,
    choose,
    find_postgres,
    find_redis,
    free_port,
    poll,
    readable_by_servers,
    spawn,
)

pytest_plugins = ["tests.system.fixtures"]

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def logging_of_its_own() -> Iterator[None]:
    """What a service's logger takes over ends with the test: it writes to where the test's words went."""
    hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
    root = logging.getLogger()
    level = root.level
    yield
    sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks
    for handler in [handler for handler in root.handlers if type(handler).__module__ == "services.logs"]:
        root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """A folder that the servers' user can enter; pytest's own folders are closed to it."""
    folder = Path(tempfile.mkdtemp(prefix="footfall-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def start_server(server: Postgres | Redis, log: Path) -> subprocess.Popen[bytes]:
    """Start a server and wait until it answers."""
    server.initialise()
    process = spawn(server.command(), as_server=True, death_signal=signal.SIGQUIT, log=log)
    assert poll(server.is_ready, 30), f"{server.folder} does not answer: {log.read_text()[-800:]}"
    return process


@pytest.fixture(scope="session")
def postgres(servers_folder: Path) -> Iterator[Postgres]:
    """PostgreSQL for the session: the first found, or the one whose major FOOTFALL_TEST_POSTGRES names."""
    wanted = os.environ.get("FOOTFALL_TEST_POSTGRES")
    found = [b for b in find_postgres() if not wanted or b.major == int(wanted)]
    binaries = readable_by_servers(choose(found, "postgres"), servers_folder)
    server = Postgres(binaries, servers_folder / "postgres", free_port(), durable=False)
    process = start_server(server, servers_folder / "postgres.log")
    yield server
    process.send_signal(signal.SIGINT)
    process.wait(20)


@pytest.fixture(scope="session")
def redis_server(servers_folder: Path) -> Iterator[Redis]:
    """Redis for the session."""
    binaries = readable_by_servers(choose(find_redis(), "redis"), servers_folder)
    server = Redis(binaries, servers_folder / "redis", free_port(), appendfsync="everysec")
    process = start_server(server, servers_folder / "redis.log")
    yield server
    process.send_signal(signal.SIGTERM)
    process.wait(20)


@dataclass
class Database:
    """A migrated database of a test's own."""

    port: int
    name: str

    def role_url(self, role: str) -> str:
        """The address for a role; the test server asks for no password."""
        return f"postgresql://{role}@127.0.0.1:{self.port}/{self.name}"

    @property
    def owner_url(self) -> str:
        return self.role_url("footfall")

    def connect(self, role: str = "footfall", **options: Any) -> psycopg.Connection[Any]:
        """A connection in autocommit mode."""
        return psycopg.connect(self.role_url(role or "footfall"), autocommit=True, **options)


@pytest.fixture(scope="session")
def template_database(postgres: Postgres) -> str:
    """Name of a migrated database that others are cloned from."""
    maintenance = Database(postgres.port, "postgres")
    with maintenance.connect() as connection:
        connection.execute("create database footfall_template")
    with Database(postgres.port, "footfall_template").connect() as connection:
        migrate(connection, MIGRATIONS)
        make_partitions(connection)
    return "footfall_template"


@contextlib.contextmanager
def cloned(postgres: Postgres, template: str) -> Iterator[Database]:
    """A database of its own, made from the template; cloning one takes 0.3 s."""
    name = f"test_{next(_numbers)}"
    with Database(postgres.port, "postgres").connect() as connection:
        connection.execute(f"create database {name} template {template}")
        yield Database(postgres.port, name)
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture
def database(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """A fresh, migrated, empty database."""
    with cloned(postgres, template_database) as database:
        yield database


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """Address of an emptied Redis, which this session started."""
    url = f"redis://127.0.0.1:{redis_server.port}/0"
    redis.Redis.from_url(url).flushall()
    return url


@pytest.fixture
def database_role() -> str:
    """As whom the services of a test work on the database."""
    return "footfall"


@pytest.fixture
def settings(tmp_path: Path, database: Database, redis_url: str, database_role: str) -> Settings:
    """Settings of a stack on the test's own database and Redis."""
    url = database.role_url(database_role)
    return load_settings({"DATA_DIR": str(tmp_path), "DATABASE_URL": url, "REDIS_URL": redis_url})
