"""How long hits took to come: by the minute in which they were stored, and late ones by the hour of their receipt."""

from __future__ import annotations

import datetime
import time
from typing import Any

import pytest

from services.enricher.store import Store
from services.hit import RawHit
from tests.conftest import Database
from tests.make import SITE, make_raw_hit
from tests.services.enricher.parts import Bench, rows

pytestmark = pytest.mark.servers
OTHER = "shop.example"
HOUR = 3_600
# Tests may wait that long for their turn.
SLACK_MS = 30_000


@pytest.fixture
def store(bench: Bench) -> Any:
    bench.now = datetime.datetime.now(datetime.UTC)
    connection = bench.connect()
    yield Store(connection)
    connection.close()


def hit(number: int, seconds_ago: float, **differing: Any) -> RawHit:
    at = time.time() - seconds_ago
    day = datetime.datetime.fromtimestamp(at, datetime.UTC).date().isoformat()
    return make_raw_hit(id=number, received_at_us=int(at * 1_000_000), day=day, **differing)


def hour_of(raw: RawHit) -> datetime.datetime:
    at = datetime.datetime.fromtimestamp(raw.received_at_us / 1_000_000, datetime.UTC)
    return at.replace(minute=0, second=0, microsecond=0)


def late(database: Database) -> list[Any]:
    return rows(database, "select hour_starts_at, site, hits from late_hits order by 1, 2")


def minutes(database: Database) -> tuple[int, int, int]:
    """Hits, mean and longest delay in seconds, over all minutes."""
    [found] = rows(
        database,
        "select sum(hits)::int, (sum(delay_ms_sum) / sum(hits) / 1000)::int, max(delay_ms_max) / 1000"
        " from ingest_minutes",
    )
    return tuple(found)  # type: ignore[return-value]


def test_hits_in_time_are_no_late_ones(bench: Bench, store: Store, database: Database) -> None:
    store.write(bench.works(bench.group([hit(1, 0.1), hit(2, 5)])))
    assert late(database) == []
    [(hits, sum_ms, max_ms, newest)] = rows(
        database, "select hits, delay_ms_sum, delay_ms_max, newest_received_at from ingest_minutes"
    )
    assert hits == 2
    assert 5_100 <= sum_ms <= 5_100 + SLACK_MS
    assert 5_000 <= max_ms <= 5_000 + SLACK_MS
    assert abs(newest - bench.now) < datetime.timedelta(seconds=60)


def test_late_hits_are_told_by_hour_and_site_and_add_up(
    bench: Bench, store: Store, database: Database
) -> None:
    first, second, other = hit(1, 2 * HOUR), hit(2, 5 * HOUR), hit(3, 2 * HOUR, site=OTHER)
    store.write(bench.works(bench.group([first, second, other, hit(4, 1)])))
    again = make_raw_hit(id=5, received_at_us=first.received_at_us, day=first.day)
    store.write(bench.works(bench.group([again], seq=2)))
    expected = [(hour_of(second), SITE, 1), (hour_of(first), SITE, 2), (hour_of(other), OTHER, 1)]
    assert late(database) == expected
    [longest] = rows(database, "select max(longest_seconds) from late_hits")
    assert 5 * HOUR <= longest <= 5 * HOUR + SLACK_MS / 1000
    hits, mean_s, longest_s = minutes(database)
    assert hits == 5
    assert abs(mean_s - 11 * HOUR / 5) < SLACK_MS / 1000
    assert abs(longest_s - 5 * HOUR) < SLACK_MS / 1000


def test_what_comes_again_or_was_there_is_not_late_again(
    bench: Bench, store: Store, database: Database
) -> None:
    group = bench.group([hit(1, HOUR)])
    store.write(bench.works(group))
    before = late(database), minutes(database)
    store.write(bench.works(group))
    store.write(bench.works(bench.group([hit(1, HOUR)], seq=2)))  # the same id, in another group
    assert (late(database), minutes(database)) == before
    assert before[0][0][2] == 1


def test_a_clock_that_is_ahead_makes_no_delay_below_0(bench: Bench, store: Store, database: Database) -> None:
    store.write(bench.works(bench.group([hit(1, -120)])))
    assert rows(database, "select hits, delay_ms_sum, delay_ms_max from ingest_minutes") == [(1, 0, 0)]


def test_hits_of_the_past_are_neither(bench: Bench, store: Store, database: Database) -> None:
    key = f"{time.strftime('%Y%m%d%H', time.gmtime())}-{'0a' * 8}"
    written = store.write(bench.works(bench.group([hit(1, 48 * HOUR, anonymous=True)], one_off_key=key)))
    assert written.stored == 1
    assert late(database) == rows(database, "select from ingest_minutes") == []


def test_hits_of_the_past_among_live_ones_are_left_out_one_by_one(
    bench: Bench, store: Store, database: Database
) -> None:
    key = f"{time.strftime('%Y%m%d%H', time.gmtime())}-{'0a' * 8}"
    past = bench.group([hit(1, 48 * HOUR, anonymous=True)], one_off_key=key)
    live = hit(2, HOUR)
    assert store.write(bench.works(past, bench.group([live, hit(3, 1)], seq=2))).stored == 3
    assert late(database) == [(hour_of(live), SITE, 1)]
    hits, mean_s, longest_s = minutes(database)
    assert hits == 2
    assert abs(mean_s - HOUR / 2) < SLACK_MS / 1000
    assert abs(longest_s - HOUR) < SLACK_MS / 1000
