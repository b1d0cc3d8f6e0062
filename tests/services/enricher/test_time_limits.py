"""Hits of sealed days are counted and not kept; hits from ahead of the clock are hits of now. The ledger closes."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.enricher.store import Store, Written
from services.enricher.time_limits import time_limits
from services.hit import LeftOut, RawHit
from tests.conftest import Database
from tests.make import ADDRESS, DAY, NOW, NOW_US, SITE, USER_AGENT, make_raw_hit
from tests.services.enricher.parts import Bench, ledger, rows, state
from tests.strategies import examples

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
DAY_US = 86_400 * SECOND_US
A_DAY = datetime.timedelta(days=1)
# By NOW and the default of 400 days.
LAST_SEALED, FIRST_KEPT = "2025-10-17", "2025-10-18"
TOMORROW, DAY_AFTER = "2026-11-23", "2026-11-24"
MOST_US = 253_402_300_799_000_000  # the last second of 9999


# The limits -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "zone", "days", "today", "first_kept", "latest_day"),
    [
        ("2026-11-22T18:30Z", "UTC", 400, "2026-11-22", "2025-10-18", "2026-11-23"),
        ("2026-11-22T09:54Z", "UTC", 1, "2026-11-22", "2026-11-21", "2026-11-22"),
        ("2026-11-22T09:55Z", "UTC", 1, "2026-11-22", "2026-11-21", "2026-11-23"),
        ("2026-11-22T23:59:59Z", "UTC", 1, "2026-11-22", "2026-11-21", "2026-11-23"),
        ("2026-11-23T00:00Z", "UTC", 1, "2026-11-23", "2026-11-22", "2026-11-23"),
        ("2026-11-22T18:30Z", "Pacific/Kiritimati", 30, "2026-11-23", "2026-10-24", "2026-11-23"),
        ("2026-11-22T10:30Z", "Pacific/Pago_Pago", 30, "2026-11-21", "2026-10-22", "2026-11-23"),
        ("2026-11-22T18:30-05:00", "America/New_York", 2, "2026-11-22", "2026-11-20", "2026-11-23"),
        ("2026-11-02T04:30Z", "America/New_York", 1, "2026-11-01", "2026-10-31", "2026-11-02"),
        ("2026-11-22T18:30Z", "UTC", 36_500, "2026-11-22", "1926-12-17", "2026-11-23"),
    ],
)
def test_limits(now: str, zone: str, days: int, today: str, first_kept: str, latest_day: str) -> None:
    moment = datetime.datetime.fromisoformat(now)
    limits = time_limits(moment, ZoneInfo(zone), days)
    assert (limits.today, limits.first_kept_day, limits.latest_day) == (today, first_kept, latest_day)
    assert limits.now_us == round(moment.timestamp() * 1e6)
    assert limits.latest_us == limits.now_us + 5 * MINUTE_US


def test_limits_are_exact_to_the_microsecond() -> None:
    limits = time_limits(NOW.replace(microsecond=999_999), ZoneInfo("UTC"), 400)
    assert limits.now_us == NOW_US + 999_999


# At work --------------------------------------------------------------------------------------------------------

servers = pytest.mark.servers


@pytest.fixture
def store(bench: Bench) -> Any:
    connection = bench.connect()
    yield Store(connection)
    connection.close()


def at(received_at_us: int, day: str = DAY, **differing: Any) -> RawHit:
    return make_raw_hit(received_at_us=received_at_us, day=day, **differing)


def partitions(database: Database) -> set[str]:
    return set(
        rows(
            database,
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'stored_hits'::regclass",
        )
    )


def session_days(bench: Bench) -> list[str]:
    """Days of which there is a session key."""
    return sorted(path.name[8:-4] for path in bench.settings.key_dir.glob("session-*.key"))


def in_zone(bench: Bench, zone: str) -> None:
    bench.settings = dataclasses.replace(bench.settings, report_timezone=ZoneInfo(zone))


def said(bench: Bench, action: str) -> list[dict[str, Any]]:
    """The log's lines of an action."""
    return [line for line in map(json.loads, bench.log.lines) if line["action"] == action]


ACCEPTED = "select site, day::text, accepted, stored, duplicate, dead_lettered from ledger order by 1, 2"


# Sealed days ----------------------------------------------------------------------------------------------------


@servers
def test_a_hit_of_a_sealed_day_is_counted_and_nothing_of_it_is_kept(
    bench: Bench, store: Store, database: Database
) -> None:
    before = partitions(database)
    old = [make_raw_hit(id=n, day=LAST_SEALED, title="secret", received_at_us=0) for n in (1, 2, 2)]
    elsewhere = make_raw_hit(id=3, day="1970-01-01", site="shop.example", received_at_us=0)
    works = bench.works(bench.group([*old, elsewhere, make_raw_hit(id=4)]))
    assert store.write(works) == Written(stored=1, duplicate=0, dead_lettered=4, redelivered_groups=0)
    assert rows(database, ACCEPTED) == [
        (SITE, LAST_SEALED, 3, 0, 0, 3), (SITE, DAY, 1, 1, 0, 0), ("shop.example", "1970-01-01", 1, 0, 0, 1),
    ]  # fmt: skip
    assert rows(
        database, "select site, day::text, reason, error, hits, hit from dead_letters order by day desc"
    ) == [
        (SITE, LAST_SEALED, "too-late", None, 3, None),
        ("shop.example", "1970-01-01", "too-late", None, 1, None),
    ]
    assert ledger(database) == (5, 1, 0, 4)
    assert partitions(database) - before <= {"hits_days.d20261122"}
    assert session_days(bench) == [DAY]


@servers
@pytest.mark.parametrize(
    ("zone", "now", "last_sealed"),
    [
        ("UTC", NOW, LAST_SEALED),
        ("UTC", NOW.replace(hour=23, minute=59, second=59), LAST_SEALED),
        ("UTC", NOW + datetime.timedelta(hours=5.5), FIRST_KEPT),
        ("Pacific/Kiritimati", NOW, FIRST_KEPT),
        ("Pacific/Pago_Pago", NOW.replace(hour=10), "2025-10-16"),
    ],
)
def test_the_last_sealed_day_is_that_of_the_reporting_zone(
    bench: Bench, store: Store, database: Database, zone: str, now: datetime.datetime, last_sealed: str
) -> None:
    in_zone(bench, zone)
    bench.now = now
    first_kept = str(datetime.date.fromisoformat(last_sealed) + A_DAY)
    store.write(bench.works(bench.group([at(0, last_sealed), at(0, first_kept)])))
    assert rows(database, "select day::text from hits") == [first_kept]
    assert rows(database, "select day::text, reason from dead_letters") == [(last_sealed, "too-late")]
    assert ledger(database) == (2, 1, 0, 1)


@servers
def test_a_group_of_a_sealed_day_that_comes_again_changes_nothing(
    bench: Bench, store: Store, database: Database
) -> None:
    group = bench.group([make_raw_hit(day=LAST_SEALED), make_raw_hit(day=FIRST_KEPT)])
    store.write(bench.works(group))
    before = state(database)
    for days in (0, 1, 500):  # also when the other hit's day is sealed meanwhile
        bench.now = NOW + days * A_DAY
        assert store.write(bench.works(group)) == Written(0, 0, 0, 1)
    assert state(database) == before


@servers
def test_a_day_that_is_sealed_between_two_tries_is_sealed_for_the_second(
    bench: Bench, database: Database
) -> None:
    bench.put(bench.group([make_raw_hit(day=FIRST_KEPT), make_raw_hit()]))
    consumer = bench.consumer()
    with database.connect() as other:
        other.execute("alter table ledger rename to ledger_away")
        with pytest.raises(psycopg.errors.UndefinedTable):
            consumer.run_once()
        other.execute("alter table ledger_away rename to ledger")
    assert rows(database, "select count(*) from hits") == [0]
    bench.now = NOW + datetime.timedelta(hours=6)
    bench.drain(bench.consumer())
    assert ledger(database) == (2, 1, 0, 1)
    assert rows(database, "select day::text, reason from dead_letters") == [(FIRST_KEPT, "too-late")]


@servers
def test_sealed_days_are_no_error_and_name_nobody(bench: Bench) -> None:
    old = [make_raw_hit(day=LAST_SEALED), make_raw_hit(day="1970-01-01", site="shop.example")]
    bench.put(bench.group(old), bench.group([make_raw_hit(url="nonsense")], seq=2))
    bench.drain(bench.consumer())
    assert said(bench, "too-late") == [
        {"level": "info", "action": "too-late", "hits": 2, "oldest_day": "1970-01-01"}
    ]
    assert said(bench, "dead-letters") == [
        {"level": "error", "action": "dead-letters", "hits": 1, "reasons": ["url"]}
    ]
    assert bench.metrics.hits.labels("dead-lettered")._value.get() == 3
    for secret in (ADDRESS, USER_AGENT, "shop.example"):
        assert secret not in bench.log.text


@servers
def test_hits_of_sealed_days_alone_wake_nobody_and_are_no_delay(bench: Bench) -> None:
    bench.put(bench.group([make_raw_hit(day="1970-01-01", received_at_us=0)]))
    bench.drain(bench.consumer())
    assert bench.log.actions == ["no-country-database", "too-late"]
    assert bench.metrics.delay_seconds._sum.get() == 0


# A clock that is ahead ------------------------------------------------------------------------------------------


@servers
@pytest.mark.parametrize(
    ("received_at_us", "day", "is_moved"),
    [
        (NOW_US, DAY, False),
        (NOW_US + 5 * MINUTE_US, DAY, False),
        (NOW_US + 5 * MINUTE_US + 1, DAY, True),
        (NOW_US + 6 * 3_600 * SECOND_US, TOMORROW, True),
        (NOW_US + DAY_US, TOMORROW, True),
        (NOW_US + 365 * DAY_US, "2027-11-22", True),
        (7_258_118_400_000_000, "2200-01-01", True),
        (MOST_US, "9999-12-31", True),
        (MOST_US, LAST_SEALED, True),  # the day is of the same wrong clock
        # A pixel with another REPORT_TIMEZONE: its day is that of its zone.
        (NOW_US, TOMORROW, False),
        (NOW_US, "2026-11-21", False),
        # No zone is that far ahead.
        (NOW_US, DAY_AFTER, True),
        (NOW_US, "9999-12-31", True),
        (0, "2199-01-01", True),
    ],
)
def test_a_hit_from_ahead_of_the_clock_is_one_of_now(
    bench: Bench, store: Store, database: Database, received_at_us: int, day: str, is_moved: bool
) -> None:
    store.write(bench.works(bench.group([at(received_at_us, day), at(NOW_US)])))
    expected = DAY if is_moved else day
    [(stored_at, stored_day)] = rows(
        database, "select received_at, day::text from hits order by hit_id limit 1"
    )
    assert stored_day == expected
    assert stored_at.timestamp() * 1e6 == (NOW_US if is_moved else received_at_us)
    assert rows(database, "select day::text, accepted from ledger order by 1") == sorted(
        Counter([expected, DAY]).items()
    )
    assert ledger(database) == (2, 2, 0, 0)
    assert set(session_days(bench)) == {expected, DAY} - {"2026-11-21"}, "its 6 h are over"


@servers
@pytest.mark.parametrize(
    ("now", "zone", "today", "tomorrow"),
    [
        ("2026-11-22T23:58Z", "UTC", "2026-11-22", "2026-11-23"),
        ("2026-11-22T22:58Z", "Europe/Berlin", "2026-11-22", "2026-11-23"),
        ("2026-11-22T09:58Z", "Pacific/Kiritimati", "2026-11-22", "2026-11-23"),
        ("2026-11-22T10:58Z", "Pacific/Pago_Pago", "2026-11-21", "2026-11-22"),
    ],
)
def test_minutes_ahead_over_midnight_are_tomorrow_s_and_more_is_today(
    bench: Bench, store: Store, database: Database, now: str, zone: str, today: str, tomorrow: str
) -> None:
    in_zone(bench, zone)
    bench.now = datetime.datetime.fromisoformat(now)
    now_us = int(bench.now.timestamp()) * SECOND_US
    little, much = at(now_us + 4 * MINUTE_US, tomorrow, id=1), at(now_us + 6 * MINUTE_US, tomorrow, id=2)
    store.write(bench.works(bench.group([little, much])))
    assert rows(database, "select day::text from hits order by hit_id") == [tomorrow, today]
    assert ledger(database) == (2, 2, 0, 0)


@servers
def test_years_ahead_leave_no_partition_no_key_and_no_open_row_of_the_ledger(
    bench: Bench, store: Store, database: Database
) -> None:
    store.write(bench.works(bench.group([make_raw_hit()])))
    before = partitions(database)
    ahead = [
        at(NOW_US + years * 365 * DAY_US, f"{2026 + years}-11-22", site=site)
        for years in range(1, 170)
        for site in (SITE, "shop.example")
    ]
    store.write(bench.works(bench.group([*ahead, make_raw_hit()], seq=2)))
    assert partitions(database) == before
    assert session_days(bench) == [DAY]
    assert rows(database, ACCEPTED) == [(SITE, DAY, 171, 171, 0, 0), ("shop.example", DAY, 169, 169, 0, 0)]
    assert ledger(database) == (340, 340, 0, 0)


@servers
def test_a_person_whose_hit_came_from_ahead_is_in_the_session_of_today(
    bench: Bench, store: Store, database: Database
) -> None:
    store.write(bench.works(bench.group([at(MOST_US, "9999-12-31"), at(NOW_US)])))
    assert rows(database, "select count(session_id), count(distinct session_id) from hits") == [(2, 1)]


@servers
def test_of_the_same_id_sent_again_from_ahead_the_first_stored_wins(
    bench: Bench, store: Store, database: Database
) -> None:
    hits = [at(NOW_US, id=1), at(MOST_US, "9999-12-31", id=1), at(NOW_US + 2 * DAY_US, DAY_AFTER, id=1)]
    store.write(bench.works(bench.group(hits[:2])))
    store.write(bench.works(bench.group(hits[2:], seq=2)))
    assert ledger(database) == (3, 1, 2, 0)


@servers
def test_a_group_from_ahead_that_comes_again_changes_nothing(
    bench: Bench, store: Store, database: Database
) -> None:
    group = bench.group([at(NOW_US + 2 * DAY_US, DAY_AFTER)])
    store.write(bench.works(group))
    before = state(database)
    for days in (0, 1, 2, 3):  # also when its day has come
        bench.now = NOW + days * A_DAY
        assert store.write(bench.works(group)) == Written(0, 0, 0, 1)
    assert state(database) == before


@servers
@pytest.mark.parametrize("differing", [{"url": "nonsense"}, {"title": "\0"}], ids=["enricher", "PostgreSQL"])
def test_a_bad_hit_from_ahead_is_buried_today(
    bench: Bench, database: Database, differing: dict[str, Any]
) -> None:
    bench.put(bench.group([at(MOST_US, "9999-12-31", **differing), at(MOST_US, "9999-12-31")]))
    bench.drain(bench.consumer())
    assert ledger(database) == (2, 1, 0, 1)
    [(day, hit)] = rows(database, "select day::text, hit from dead_letters")
    assert (day, hit["day"], hit["received_at_us"]) == (DAY, DAY, NOW_US)


@servers
def test_a_group_from_ahead_that_cannot_be_opened_is_booked_as_it_says(
    bench: Bench, store: Store, database: Database
) -> None:
    """Its hits' times are sealed: the day that stands in clear is all there is."""
    group = bench.group([at(MOST_US, "9999-12-31"), at(0, "0001-01-01")])
    for path in bench.settings.key_dir.glob("seal-*.key"):
        bench.sealing._files.destroy(path.name[5:-4])
    bench.sealing._ciphers.clear()
    store.write(bench.works(group))
    assert ledger(database) == (2, 0, 0, 2)
    assert rows(database, "select day::text, reason from dead_letters order by 1") == [
        ("0001-01-01", "seal"), ("9999-12-31", "seal"),
    ]  # fmt: skip
    assert session_days(bench) == []


@servers
def test_a_clock_that_is_ahead_is_said_once_a_batch_and_counted(bench: Bench) -> None:
    ahead = [at(NOW_US + 10 * MINUTE_US), at(MOST_US, "9999-12-31")]
    bench.put(bench.group([*ahead, at(NOW_US)]), bench.group(ahead, seq=2))
    bench.drain(bench.consumer())
    assert said(bench, "clock-ahead") == [{"level": "warning", "action": "clock-ahead", "hits": 4}]
    assert bench.metrics.ahead._value.get() == 4
    assert bench.metrics.hits.labels("dead-lettered")._value.get() == 0
    bench.put(bench.group([at(NOW_US)], seq=3))
    bench.drain(bench.consumer("two"))
    assert len(said(bench, "clock-ahead")) == 1


@servers
def test_left_out_requests_of_any_day_are_booked_as_they_are(
    bench: Bench, store: Store, database: Database
) -> None:
    days = ["0001-01-01", "1970-01-01", LAST_SEALED, DAY, "2199-01-01", "9999-12-31"]
    left_out = [LeftOut(SITE, day, "excluded", "prefetch", 2) for day in days]
    hits = [at(MOST_US, "9999-12-31"), at(0, "0001-01-01")]
    store.write(bench.works(bench.group(hits, left_out=left_out)))
    assert rows(database, "select day, hits from ledger_left_out order by day") == [
        (datetime.date.fromisoformat(day), 2) for day in days
    ]
    assert ledger(database) == (2, 1, 0, 1)


# Any mix --------------------------------------------------------------------------------------------------------

offsets_us = st.sampled_from(
    [-500 * DAY_US, -400 * DAY_US, -DAY_US, 0, 4 * MINUTE_US, 6 * MINUTE_US, DAY_US, 3 * DAY_US, 900 * DAY_US]
)
hits = st.tuples(
    st.integers(1, 6),  # id
    offsets_us,  # of its pixel's clock
    st.sampled_from([-1, 0, 0, 0, 1]),  # days that its pixel's zone is off
    st.sampled_from([SITE, "shop.example"]),
    st.sampled_from(["https://blog.example/a"] * 3 + ["nonsense"]),
)
groups = st.lists(st.lists(hits, max_size=6), min_size=1, max_size=6)


def make_one(id: int, offset_us: int, days_off: int, site: str, url: str) -> RawHit:
    received_at_us = NOW_US + offset_us
    day = datetime.datetime.fromtimestamp(received_at_us / SECOND_US, datetime.UTC).date() + days_off * A_DAY
    return at(received_at_us, str(day), id=id, site=site, url=url)


def fate_of(raw: RawHit, now: datetime.datetime) -> tuple[str, str]:
    """Day and fate by the rules' words, in UTC with 400 days."""
    now_us = now.timestamp() * SECOND_US
    if raw.received_at_us - now_us > 5 * MINUTE_US or raw.day > str((now + 14.084 / 24 * A_DAY).date()):
        raw = at(NOW_US, str(now.date()), url=raw.url)
    if raw.day < str(now.date() - 400 * A_DAY):
        return raw.day, "too-late"
    return raw.day, "url" if raw.url == "nonsense" else "good"


@servers
@given(
    mix=groups,
    order=st.lists(st.integers(0, 5), max_size=10),
    cuts=st.sets(st.integers(0, 16)),
    waits=st.lists(st.sampled_from([0, 0, 0, 1, 2, 30]), min_size=17, max_size=17),
)
@hypothesis_settings(max_examples=examples(40))
def test_any_mix_of_old_normal_and_future_hits_closes_the_ledger(
    bench: Bench,
    store: Store,
    database: Database,
    mix: Any,
    order: list[int],
    cuts: set[int],
    waits: list[int],
) -> None:
    with database.connect() as connection:
        connection.execute(
            "truncate stored_hits, ledger, ledger_left_out, rollup_pending, dead_letters, stream_groups"
        )
    made = [[make_one(*hit) for hit in group] for group in mix]
    encoded = [bench.group(hits_of_one, seq=seq) for seq, hits_of_one in enumerate(made, 1)]
    delivered = [place for place in order if place < len(made)] + list(range(len(made)))
    expected: Counter[tuple[str, str, str]] = Counter()
    taken: set[int] = set()
    batch: list[int] = []
    bench.now = NOW
    for number, place in enumerate(delivered):
        batch.append(place)
        if number not in cuts and number < len(delivered) - 1:
            continue
        store.write(bench.works(*(encoded[place] for place in batch)))
        for new in set(batch) - taken:
            expected.update((raw.site, *fate_of(raw, bench.now)) for raw in made[new])
        taken |= set(batch)
        batch = []
        bench.now += waits[number] * A_DAY
    ledger(database)
    accepted: Counter[tuple[str, str]] = Counter()
    for (site, day, _), number in expected.items():
        accepted[site, day] += number
    assert rows(database, "select site, day::text, accepted::int from ledger order by 1, 2") == [
        (site, day, number) for (site, day), number in sorted(accepted.items())
    ]
    buried = (
        "select site, day::text, reason, sum(hits)::int from dead_letters group by 1, 2, 3 order by 1, 2, 3"
    )
    assert rows(database, buried) == [
        (*key, number) for key, number in sorted(expected.items()) if key[2] != "good"
    ]
    latest = bench.time_limits().latest_day
    assert rows(database, "select 1 from hits where day > %s", latest) == []
    before = state(database)
    store.write(bench.works(*encoded))
    assert state(database) == before
