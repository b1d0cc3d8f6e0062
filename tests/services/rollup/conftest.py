"""A store, a refresher and an eye on what both do to one database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from services.database import connect
from services.enricher.store import Store
from services.rollup.add import CROWD
from services.rollup.refresh import prepare, refresh
from services.settings import Settings
from tests.conftest import Database


@pytest.fixture
def database(emptied_database: Database) -> Database:
    """One database for these tests, emptied before each."""
    return emptied_database


class Parts:
    """An enricher's store, a refresher, and an eye on both."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.settings = settings
        self.database = database
        self.eye = database.connect()
        self._connections = [self.eye]
        self.store = self.make_store()
        self.refresher = self.make_refresher()

    def make_store(self) -> Store:
        connection = connect(self.settings, "enricher")
        self._connections.append(connection)
        return Store(connection)

    def make_refresher(self) -> psycopg.Connection[Any]:
        connection = connect(self.settings, "rollup")
        self._connections.append(connection)
        prepare(connection)
        return connection

    @property
    def last_connection(self) -> psycopg.Connection[Any]:
        """That of the store or refresher that was made last."""
        return self._connections[-1]

    def close_all_but_first(self) -> None:
        """The eye, the store and the refresher that the parts began with stay."""
        for connection in self._connections[3:]:
            connection.close()
        del self._connections[3:]

    def refresh_all(self, max_hits: int = 20_000, crowd: int = CROWD) -> int:
        """Refresh until nothing waits; how many hits were counted."""
        total = 0
        while hits := refresh(self.refresher, max_hits, crowd):
            total += hits
        return total

    def waiting(self) -> int:
        row = self.eye.execute("select coalesce(sum(hits), 0)::int from rollup_pending").fetchone()
        assert row
        return int(row[0])

    def rows(self, sql: str) -> list[Any]:
        return self.eye.execute(sql).fetchall()

    def close(self) -> None:
        for connection in self._connections:
            connection.close()


@pytest.fixture
def parts(settings: Settings, database: Database) -> Iterator[Parts]:
    made = Parts(settings, database)
    yield made
    made.close()


@pytest.fixture
def database_role() -> str:
    """The deployed one, that owns the tables and is no superuser."""
    return "footfall_rollup"
