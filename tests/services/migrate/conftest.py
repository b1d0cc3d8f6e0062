"""A database that nothing was done to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

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
