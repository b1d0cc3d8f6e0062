"""Databases that nothing was done to, and that were migrated themselves."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from services.database import make_partitions
from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import migrate
from tests.conftest import Database
from tools.servers import Postgres

_names = itertools.count()


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[Database]:
    """A database that nothing was done to."""
    name = f"migrate_{next(_names)}"
    with Database(postgres.port, "postgres").connect() as connection:
        connection.execute(f"create database {name}")
        yield Database(postgres.port, name)
        connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
def migrated(postgres: Postgres) -> Iterator[Database]:
    """A database that was migrated itself: rights on a database are not cloned with it."""
    name = f"migrated_{next(_names)}"
    with Database(postgres.port, "postgres").connect() as maintenance:
        maintenance.execute(f"create database {name}")
        made = Database(postgres.port, name)
        with made.connect() as connection:
            migrate(connection, MIGRATIONS)
            make_partitions(connection)
        yield made
        maintenance.execute(f"drop database {name} with (force)")
