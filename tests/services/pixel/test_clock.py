"""The day of a moment in any zone, and ids that are unique and sort by time."""

from __future__ import annotations

import datetime
import uuid
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pixel.clock import DayClock, HitIds
from tests.make import NOW_US

ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Kathmandu", "Asia/Kolkata",
    "Australia/Lord_Howe", "Australia/Eucla", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati",
    "Pacific/Pago_Pago", "America/St_Johns", "America/Havana", "Asia/Beirut", "Africa/Cairo", "Africa/Monrovia",
    "Antarctica/Troll", "Asia/Pyongyang", "America/Caracas", "Europe/Dublin", "Africa/Casablanca",
]  # fmt: skip
SECOND = 1_000_000
# From 1973, when Liberia had just given up its 44 minutes and 30 seconds.
moments_us = st.integers(95_000_000 * SECOND, 4_000_000_000 * SECOND)


def day_in(zone: str, now_us: int) -> str:
    """The date by the definition."""
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return (epoch + datetime.timedelta(microseconds=now_us)).astimezone(ZoneInfo(zone)).date().isoformat()


def micros(text: str) -> int:
    """``2026-11-22T18:30:00+01:00`` as Unix time in µs."""
    return int(datetime.datetime.fromisoformat(text).timestamp()) * SECOND


@given(zone=st.sampled_from(ZONES), now_us=moments_us)
def test_the_day_is_the_date_in_the_zone(zone: str, now_us: int) -> None:
    assert DayClock(ZoneInfo(zone)).day_of(now_us) == day_in(zone, now_us)


@given(
    zone=st.sampled_from(ZONES), now_us=moments_us, steps=st.lists(st.integers(-7_200, 7_200), max_size=20)
)
def test_a_clock_that_goes_on_or_back_stays_right(zone: str, now_us: int, steps: list[int]) -> None:
    clock = DayClock(ZoneInfo(zone))
    for step in steps:
        now_us += step * SECOND
        assert clock.day_of(now_us) == day_in(zone, now_us)


@pytest.mark.parametrize("zone", ZONES)
def test_every_quarter_of_an_hour_of_a_year_has_its_date(zone: str) -> None:
    clock = DayClock(ZoneInfo(zone))
    start = micros("2026-01-01T00:00:00+00:00")
    for quarter in range(0, 366 * 96, 1):
        now_us = start + quarter * 900 * SECOND
        if quarter % 7 == 0 or quarter % 96 < 2:
            assert clock.day_of(now_us) == day_in(zone, now_us)


@pytest.mark.parametrize(
    ("zone", "last", "before", "after"),
    [
        ("UTC", "2026-11-22T23:59:59+00:00", "2026-11-22", "2026-11-23"),
        ("Europe/Berlin", "2026-03-29T23:59:59+02:00", "2026-03-29", "2026-03-30"),  # 23 hours
        ("Europe/Berlin", "2026-10-25T23:59:59+01:00", "2026-10-25", "2026-10-26"),  # 25 hours
        ("Asia/Beirut", "2026-03-28T23:59:59+02:00", "2026-03-28", "2026-03-29"),  # midnight does not exist
        ("America/Havana", "2026-10-31T23:59:59-04:00", "2026-10-31", "2026-11-01"),  # midnight comes twice
        ("America/Sao_Paulo", "2018-02-17T23:59:59-03:00", "2018-02-17", "2018-02-18"),
        ("Pacific/Apia", "2011-12-29T23:59:59-10:00", "2011-12-29", "2011-12-31"),  # the 30th was skipped
        ("Pacific/Kwajalein", "1993-08-20T23:59:59-12:00", "1993-08-20", "1993-08-22"),
        ("Asia/Pyongyang", "2018-05-04T23:29:59+08:30", "2018-05-04", "2018-05-05"),
        ("Asia/Kathmandu", "2026-11-22T23:59:59+05:45", "2026-11-22", "2026-11-23"),
    ],
)
def test_a_day_turns_where_the_zone_turns_it(zone: str, last: str, before: str, after: str) -> None:
    clock = DayClock(ZoneInfo(zone))
    last_us = micros(last)
    assert [clock.day_of(last_us), clock.day_of(last_us + SECOND - 1)] == [before, before]
    assert [clock.day_of(last_us + SECOND), clock.day_of(last_us + 2 * SECOND)] == [after, after]


def test_ids_are_unique_sorted_by_time_and_of_version_7() -> None:
    ids = HitIds()
    made = [ids.make(NOW_US + number * 500) for number in range(5_000)]
    assert len(set(made)) == len(made)
    assert {(uuid.UUID(bytes=i).version, uuid.UUID(bytes=i).variant) for i in made} == {(7, uuid.RFC_4122)}
    milliseconds = [int.from_bytes(i[:6], "big") for i in made]
    assert milliseconds == sorted(milliseconds)
    assert milliseconds[0] == NOW_US // 1000


def test_within_a_millisecond_ids_count_up() -> None:
    ids = HitIds()
    ids._counter = 1 << 70
    made = [ids.make(NOW_US) for _ in range(1_000)]
    assert made == sorted(made)


def test_the_counter_turns_over_without_touching_time_version_or_variant() -> None:
    ids = HitIds()
    ids._counter = (1 << 74) - 2
    made = [uuid.UUID(bytes=ids.make(NOW_US)) for _ in range(3)]
    assert {(i.version, i.variant, i.bytes[:6]) for i in made} == {
        (7, uuid.RFC_4122, (NOW_US // 1000).to_bytes(6, "big"))
    }
    assert len(set(made)) == 3


def test_two_processes_make_different_ids() -> None:
    first, second = HitIds(), HitIds()
    assert not {first.make(NOW_US) for _ in range(1_000)} & {second.make(NOW_US) for _ in range(1_000)}


@given(now_us=st.integers(0, 253_402_300_799_000_000))
def test_any_time_has_an_id(now_us: int) -> None:
    assert len(HitIds().make(now_us)) == 16
