"""A migration that is killed in the middle, and what is done to the tables of the days, cut off at each step."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from services.database import Connection, connect
from services.enricher.store import Store
from services.migrate.runner import migrations_in
from services.rollup.days import close_days, kept_days
from services.rollup.refresh import prepare, refresh
from services.rollup.upkeep import drop_expired
from services.settings import Settings
from tests.conftest import Database
from tests.faults.wires import ROOT, Wires
from tests.make import make_hit
from tests.services.migrate.conftest import empty
from tests.services.rollup.definition import differences, put
from tools.check_stored import partitions_of
from tools.fault_proxy import Direction
from tools.servers import Redis

__all__ = ["empty"]

pytestmark = pytest.mark.servers
WITHIN_S = 60.0
RETENTION_DAYS = 30


@pytest.fixture
def eye(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect() as connection:
        yield connection


# A migration ----------------------------------------------------------------------------------------------------


def applied(database: Database) -> list[str]:
    with database.connect() as eye:
        return [row[0] for row in eye.execute("select name from schema_migrations order by number")]


def test_a_migration_killed_in_the_middle_is_completed_by_the_next(
    settings: Settings, empty: Database, redis_server: Redis
) -> None:
    """Killed in the first, in a later one and after the last one's commit; then let be."""
    files = [migration.path.name for migration in migrations_in(ROOT / "migrations")]
    with contextlib.closing(Wires(settings, empty, redis_server.port)) as wires:
        for pattern, where, done in (
            (files[0].encode(), "request", []),
            (files[3].encode(), "request", files[:3]),
            (b"update installation set report_timezone", "request", files),
        ):
            trap = wires.postgres.trap(pattern, where, "hold")
            process = wires.start("migrate")
            assert trap.reached.wait(WITHIN_S), wires.log.read_text()
            wires.kill(process)
            assert applied(empty) == done
        assert wires.start("migrate").wait(WITHIN_S) == 0, wires.log.read_text()
        assert applied(empty) == files
        with connect(wires.settings, "enricher") as writer:
            put(Store(writer), make_hit())
            prepare(writer)
            assert refresh(writer) == 1
        with empty.connect() as eye:
            assert differences(eye) == {}


# The tables of the days -----------------------------------------------------------------------------------------


def day_ago(days: int) -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=days)


def open_day(connection: Connection) -> None:
    with connection.transaction():
        connection.execute("select open_hits_day(%s)", [day_ago(20)])


def drop(connection: Connection) -> None:
    drop_expired(connection, RETENTION_DAYS)


Job = Callable[[Connection], object]
CUTS: list[tuple[Job, bytes]] = [
    (open_day, b"open_hits_day"),
    (open_day, b"COMMIT"),
    (close_days, b"close_hits_day"),
    (close_days, b"vacuum"),
    (drop, b"detach partition"),
    (drop, b"drop table"),
]


@pytest.mark.parametrize("where", ["request", "answer"])
@pytest.mark.parametrize(("job", "pattern"), CUTS, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_done_to_a_day_is_done_whole_or_not_at_all(
    wires: Wires, settings: Settings, eye: Any, job: Job, pattern: bytes, where: Direction
) -> None:
    for day in partitions_of(eye):
        eye.execute(f"drop table hits_days.d{day:%Y%m%d}")
    with connect(settings, "enricher") as writer:
        put(Store(writer), *(make_hit(day=day_ago(days), session_id=None) for days in (0, 5, 40)))
        prepare(writer)
        assert refresh(writer) == 3
    with connect(wires.settings, "rollup") as connection:
        prepare(connection)
        trap = wires.postgres.trap(pattern, where, "cut")
        with pytest.raises(psycopg.OperationalError):
            job(connection)
        assert trap.reached.is_set()
    with connect(settings, "rollup") as connection:
        prepare(connection)
        job(connection)
        is_open = {day.day: day.is_open for day in kept_days(connection)}
        put_late(settings)
        while refresh(connection):
            pass
    assert is_open[day_ago(0)]
    assert is_open.get(day_ago(20), False) == (job is open_day)
    assert is_open[day_ago(5)] == (job is not close_days)
    assert (day_ago(40) in is_open) == (job is not drop)
    if job is not drop:  # else rollups know more than hits
        assert differences(eye) == {}


def put_late(settings: Settings) -> None:
    """A hit of the day that was worked on is stored once, whatever its table has been through."""
    hit = make_hit(day=day_ago(5), session_id=None)
    with connect(settings, "enricher") as writer:
        store = Store(writer)
        assert [put(store, hit), put(store, hit)] == [1, 0]
