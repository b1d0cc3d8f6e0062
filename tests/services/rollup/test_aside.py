"""Slow work holds up no job, runs once at a time, and is heard of when it fails."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest

from services.database import connect
from services.rollup.aside import Aside
from services.settings import Settings
from tests.conftest import Database
from tools.servers import poll

pytestmark = pytest.mark.servers


@pytest.fixture
def aside(settings: Settings) -> Aside:
    return Aside(lambda: connect(settings, "aside"))


def sleep(connection: Any) -> None:
    connection.execute("select pg_sleep(60)")


def is_asleep(database: Database) -> bool:
    with database.connect() as eye:
        return eye.execute("select 1 from pg_stat_activity where query = 'select pg_sleep(60)'").rowcount > 0


def end(database: Database) -> None:
    with database.connect() as eye:
        eye.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where query = 'select pg_sleep(60)'"
        )


def test_quick_work_is_done_at_once(aside: Aside) -> None:
    done: list[Any] = []
    for number in (1, 2):
        assert aside.run(lambda c, n=number: done.append(c.execute("select %s", [n]).fetchone()))
    assert done == [(1,), (2,)]


def test_slow_work_holds_up_nobody_and_is_not_begun_twice(aside: Aside, database: Database) -> None:
    began_s = time.monotonic()
    assert not aside.run(sleep, wait_s=0.1)
    assert poll(lambda: is_asleep(database), 10)
    second: list[Any] = []
    assert not aside.run(second.append, wait_s=0.1)
    assert time.monotonic() - began_s < 30
    end(database)
    assert second == []


def test_what_fails_later_is_heard_of_once_and_then_begun_anew(aside: Aside, database: Database) -> None:
    assert not aside.run(sleep, wait_s=0.1)
    assert poll(lambda: is_asleep(database), 10)
    end(database)
    assert poll(lambda: not [t for t in threading.enumerate() if t.name == "aside"], 10)
    done: list[Any] = []
    with pytest.raises(psycopg.OperationalError):
        aside.run(done.append)
    assert aside.run(done.append)
    assert len(done) == 1


def test_what_fails_at_once_is_heard_of_at_once(aside: Aside) -> None:
    with pytest.raises(psycopg.errors.UndefinedTable):
        aside.run(lambda connection: connection.execute("select from nowhere"))


def test_a_server_that_is_away_is_heard_of(settings: Settings) -> None:
    aside = Aside(lambda: psycopg.connect("host=127.0.0.1 port=1 connect_timeout=2"))
    with pytest.raises(psycopg.OperationalError):
        aside.run(sleep, wait_s=5)
