"""Partitions are made ahead and dropped after RETENTION_DAYS, never with hits that are not counted."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from services.database import connect, make_partitions
from services.enricher.store import Store
from services.enricher.time_limits import time_limits
from services.rollup import upkeep
from services.rollup.refresh import prepare, refresh
from services.rollup.upkeep import drop_expired, forget_old_groups
from services.settings import Settings
from tests.conftest import Database
from tests.make import make_hit
from tests.services.rollup.definition import put

pytestmark = pytest.mark.servers


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    made = connect(settings, "rollup")
    prepare(made)
    yield made
    made.close()


def partitions(database: Database) -> list[str]:
    with database.connect() as eye:
        rows = eye.execute(
            "select relname from pg_class where relnamespace = 'hits_days'::regnamespace and relkind = 'r'"
        )
        return sorted(row[0] for row in rows)


def drop_partitions(database: Database) -> None:
    with database.connect() as eye:
        for name in partitions(database):
            eye.execute(f"drop table hits_days.{name}")


def day_ago(days: int, zone: str = "UTC") -> datetime.date:
    return datetime.datetime.now(ZoneInfo(zone)).date() - datetime.timedelta(days=days)


def name_of(day: datetime.date) -> str:
    return f"d{day:%Y%m%d}"


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_partitions_are_made_from_yesterday_to_a_week_ahead(
    database: Database, connection: psycopg.Connection[Any], zone: str
) -> None:
    drop_partitions(database)
    with database.connect() as eye:
        eye.execute("update installation set report_timezone = %s", [zone])
    assert make_partitions(connection) == 9
    assert partitions(database) == sorted(name_of(day_ago(-days, zone)) for days in range(-1, 8))
    assert make_partitions(connection) == 0


def test_days_beyond_the_retention_are_dropped_and_rollups_stay(
    database: Database, settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    with connect(settings, "enricher") as writer:
        store = Store(writer)
        for days in (0, 29, 30, 31, 32, 400):
            put(store, make_hit(day=day_ago(days)))
    while refresh(connection):
        pass
    assert drop_expired(connection, 30) == sorted(name_of(day_ago(days)) for days in (31, 32, 400))
    assert drop_expired(connection, 30) == []
    with database.connect() as eye:
        days = [row[0] for row in eye.execute("select day from hits order by day desc")]
        assert days == [day_ago(0), day_ago(29), day_ago(30)]
        assert eye.execute("select count(*) from daily_traffic").fetchone() == (6,)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("retention_days", [1, 30, 36_500])
def test_what_is_dropped_is_what_the_enricher_takes_no_more(
    database: Database, connection: psycopg.Connection[Any], zone: str, retention_days: int
) -> None:
    drop_partitions(database)
    with database.connect() as eye:
        eye.execute("update installation set report_timezone = %s", [zone])
        days = [day_ago(retention_days + more) for more in range(-3, 4)]
        for day in days:
            eye.execute("select make_hits_partition(%s)", [day])
    with connection.transaction():
        [(now,)] = connection.execute("select now()").fetchall()
        dropped = upkeep.expired_partitions(connection, retention_days)
    limits = time_limits(now, ZoneInfo(zone), retention_days)
    refused = [name_of(day) for day in days if day.isoformat() < limits.first_kept_day]
    assert 1 < len(refused) < 6
    assert dropped == sorted(refused)
    drop_partitions(database)


def test_a_day_whose_hits_are_not_counted_is_kept(
    settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    with connect(settings, "enricher") as writer:
        put(Store(writer), make_hit(day=day_ago(40)), make_hit(day=day_ago(50)))
    assert drop_expired(connection, 30) == []
    assert refresh(connection) == 2
    assert drop_expired(connection, 30) == [name_of(day_ago(50)), name_of(day_ago(40))]


def test_a_day_that_was_dropped_may_get_late_hits(
    database: Database, settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    """Prepared before midnight, stored after it: what is stored is counted, and dropped again."""
    day = day_ago(40)
    for _ in range(2):
        with connect(settings, "enricher") as writer:
            assert put(Store(writer), make_hit(day=day)) == 1
        refresh(connection)
        assert drop_expired(connection, 30) == [name_of(day)]
    with database.connect() as eye:
        assert eye.execute("select pageviews from daily_traffic").fetchall() == [(2,)]


def test_an_enricher_that_knew_a_dropped_day_stores_its_late_hit(
    settings: Settings, connection: psycopg.Connection[Any]
) -> None:
    day = day_ago(40)
    with connect(settings, "enricher") as writer:
        store = Store(writer)
        put(store, make_hit(day=day))
        refresh(connection)
        drop_expired(connection, 30)
        with pytest.raises(psycopg.errors.CheckViolation):
            put(store, make_hit(day=day))
        assert put(store, make_hit(day=day)) == 1, "the next try makes the partition again"


def test_dropping_gives_way_to_somebody_who_reads(
    database: Database,
    settings: Settings,
    connection: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upkeep, "LOCK_TIMEOUT_MS", 50)
    with connect(settings, "enricher") as writer:
        put(Store(writer), make_hit(day=day_ago(40)))
    refresh(connection)
    with database.connect() as reader, reader.transaction():
        reader.execute("select count(*) from hits")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            drop_expired(connection, 30)
    assert drop_expired(connection, 30) == [name_of(day_ago(40))]


def test_numbers_of_groups_are_forgotten_after_two_weeks(
    database: Database, connection: psycopg.Connection[Any]
) -> None:
    with database.connect() as eye:
        eye.execute(
            "insert into stream_groups (site, pixel_id, seq, hits, processed_at)"
            " select '', gen_random_uuid(), 1, 0, now() - make_interval(days => d)"
            " from unnest(array[0, 13, 15, 100]) d"
        )
        assert forget_old_groups(connection) == 2
        assert forget_old_groups(connection) == 0
        assert eye.execute("select count(*) from stream_groups").fetchone() == (2,)
