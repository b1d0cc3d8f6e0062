"""A day beyond the retention that an import opened keeps its hits until the import seals it, or is long gone."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from services.database import connect
from services.enricher.store import Store
from services.rollup.days import kept_days
from services.rollup.refresh import prepare, refresh
from services.rollup.sessions import count_sessions
from services.rollup.upkeep import drop_expired, forget_old_facts, seal
from services.settings import Settings
from tests.conftest import Database
from tests.make import make_hit
from tests.services.rollup.definition import put

pytestmark = pytest.mark.servers
DAY = datetime.date(2019, 5, 17)
NAME = "d20190517"
FIRST, SECOND = uuid.UUID(int=1), uuid.UUID(int=2)


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    """The rollup's; a hit of the day is counted."""
    made = connect(settings, "rollup")
    prepare(made)
    with connect(settings, "enricher") as writer:
        put(Store(writer), make_hit(day=DAY))
    while refresh(made):
        pass
    count_sessions(made)
    yield made
    made.close()


def hold(database: Database, import_id: uuid.UUID, hours_ago: int = 0) -> None:
    with database.connect() as eye:
        eye.execute(
            "insert into imports values (%s, 'a key', now() - make_interval(hours => %s), %s)",
            [import_id, hours_ago, [DAY]],
        )


def days_held(database: Database) -> list[Any]:
    with database.connect() as eye:
        return [row[0] for row in eye.execute("select days from imports order by import_id").fetchall()]


def sealed(connection: psycopg.Connection[Any], import_id: uuid.UUID) -> bool:
    [day] = [day for day in kept_days(connection) if day.day == DAY]
    return seal(connection, day, import_id)[1]


def test_upkeep_leaves_it_for_a_day(database: Database, connection: psycopg.Connection[Any]) -> None:
    hold(database, FIRST, hours_ago=23)
    assert drop_expired(connection, 30) == []
    with database.connect() as eye:
        eye.execute("update imports set began_at = began_at - interval '2 hours'")
    assert drop_expired(connection, 30) == [NAME]
    assert days_held(database) == [[]]


def test_the_import_seals_it_itself(database: Database, connection: psycopg.Connection[Any]) -> None:
    hold(database, FIRST)
    assert sealed(connection, FIRST)
    assert days_held(database) == [[]]
    with database.connect() as eye:
        assert eye.execute("select pageviews from daily_traffic where day = %s", [DAY]).fetchall() == [(1,)]


def test_of_two_imports_the_last_one_seals_it(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    hold(database, FIRST)
    hold(database, SECOND)
    assert not sealed(connection, FIRST)
    assert days_held(database) == [[DAY], [DAY]], "nothing half done"
    with database.connect() as eye:
        eye.execute("delete from imports where import_id = %s", [FIRST])
    assert sealed(connection, SECOND)


def test_an_import_that_nobody_finished_is_forgotten(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    hold(database, FIRST, hours_ago=15 * 24)
    hold(database, SECOND, hours_ago=13 * 24)
    assert forget_old_facts(connection, 30) == 1
    assert days_held(database) == [[DAY]]
