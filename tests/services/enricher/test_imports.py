"""Hits of imports: what is given in place of address and User-Agent, and days beyond the retention that they open."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from services.enricher.batch import Work, prepare
from services.enricher.booking import DayClosed
from services.enricher.store import HOLD_OPENED, Store
from services.hit import Given
from tests.conftest import Database
from tests.make import ADDRESS, NOW, USER_AGENT, make_entry, make_raw_hit
from tests.services.enricher.parts import Bench, rows
from tests.services.enricher.test_enrich import make_enricher

OLD = "2019-05-17"  # long beyond the retention
OTHER_OLD = "2019-05-18"
KEY, OTHER_KEY = "2026112217-0123456789abcdef", "2026112217-fedcba9876543210"


# What is given ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_bot", [True, False])
def test_what_is_given_stands_in_the_place_of_what_nobody_kept(is_bot: bool) -> None:
    raw = make_raw_hit(address="0123456789abcdef", user_agent="", given=Given(is_bot, "ES"))
    hit = make_enricher().enrich(raw, NOW)
    assert (hit.is_bot, hit.bot_name, hit.country) == (is_bot, None, "ES")
    assert (hit.browser, hit.os, hit.device) == (None, None, None)


def test_where_only_the_user_agent_is_missing_the_address_tells_the_country() -> None:
    hit = make_enricher().enrich(make_raw_hit(address=ADDRESS, user_agent="", given=Given(False)), NOW)
    assert (hit.is_bot, hit.country) == (False, "DE")


def test_a_live_hit_is_read_by_its_user_agent() -> None:
    enricher = make_enricher()
    assert enricher.enrich(make_raw_hit(user_agent=""), NOW).is_bot
    assert enricher.enrich(make_raw_hit(user_agent=USER_AGENT), NOW).browser


# Days beyond the retention ------------------------------------------------------------------------------------------


def open_days(database: Database, key: str, *days: str) -> None:
    """As an import does before it sends hits."""
    with database.connect() as connection:
        connection.execute(
            "insert into imports (import_id, one_off_key, days) values (%s, %s, %s::date[])",
            [uuid.uuid4(), key, list(days)],
        )


def letters(database: Database) -> list[object]:
    return rows(database, "select day::text, reason from dead_letters order by 1")


@pytest.mark.servers
def test_a_day_is_stored_for_the_import_that_opened_it_and_for_nobody_else(
    bench: Bench, database: Database
) -> None:
    open_days(database, KEY, OLD)
    open_days(database, OTHER_KEY, OTHER_OLD)
    bench.put(
        bench.group([make_raw_hit(id=1, day=OLD), make_raw_hit(id=2, day=OTHER_OLD)], 1, one_off_key=KEY),
        bench.group([make_raw_hit(id=3, day=OLD)], 2, one_off_key=OTHER_KEY),
        bench.group([make_raw_hit(id=4, day=OLD)], 3),
    )
    bench.drain(bench.consumer())
    assert rows(database, "select hit_id from hits") == [uuid.UUID(int=1)]
    assert letters(database) == [(OLD, "too-late"), (OLD, "too-late"), (OTHER_OLD, "too-late")]
    assert rows(database, "select accepted - stored - duplicate - dead_lettered from ledger") == [0, 0]


@pytest.mark.servers
def test_a_day_that_is_sealed_meanwhile_gets_no_hit_and_no_partition(
    bench: Bench, database: Database
) -> None:
    day = "2018-01-02"  # of which no other test makes a partition
    partition = "select to_regclass('hits_days.d20180102')::text"
    open_days(database, KEY, day)
    group = bench.group([make_raw_hit(day=day)], one_off_key=KEY)
    limits = bench.time_limits()
    with bench.connect() as connection:
        store = Store(connection)

        def prepared() -> Work:
            return prepare(make_entry(group, 1), bench.sealing, bench.enricher, limits, store.opened_days)

        work = prepared()
        assert work.opened_days == {day}
        with database.connect() as other:
            other.execute("update imports set days = '{}'")
        with pytest.raises(DayClosed):
            store.write([work])
        assert rows(database, partition) == [None]
        assert store.write([prepared()]).dead_lettered == 1
    assert rows(database, partition) == [None]


@pytest.mark.servers
def test_a_day_is_not_sealed_while_its_hits_are_being_stored(bench: Bench, database: Database) -> None:
    open_days(database, KEY, OLD)
    with bench.connect() as storing, database.connect() as other:
        storing.execute(HOLD_OPENED, {"keys": [KEY]})
        other.execute("set lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("select from imports for update")
