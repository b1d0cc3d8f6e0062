"""A filled database that the tests of a session share; none of them writes to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Database
from tests.grafana.rows import fill
from tools.servers import Postgres


@pytest.fixture(scope="session")
def filled(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """A migrated database with the rows of ``tests.grafana.rows``."""
    name = "footfall_grafana_filled"
    with Database(postgres.port, "postgres").connect() as connection:
        connection.execute(f"create database {name} template {template_database}")
        database = Database(postgres.port, name)
        with database.connect() as filling:
            fill(filling)
        yield database
        connection.execute(f"drop database {name} with (force)")
