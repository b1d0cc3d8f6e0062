"""How full the disk is, how long it lasts, and what is kept of the looks at it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from services.rollup.disk import DiskSpace, disk_space, note_disk
from tests.services.rollup.conftest import Parts

pytestmark = pytest.mark.servers
GB = 1_000_000_000
OUTLOOK = "select database_grows_bytes, disk_fills_bytes, days_left from disk_outlook"


def look(parts: Parts, days_ago: float, database: float, free: float, total: float = 100) -> None:
    """A look that was made so many days ago; sizes in GB."""
    parts.eye.execute(
        "insert into disk_looks (looked_at, database_bytes, disk_free_bytes, disk_total_bytes)"
        " values (clock_timestamp() - make_interval(secs => %s), %s, %s, %s)",
        [days_ago * 86_400, int(database * GB), int(free * GB), int(total * GB)],
    )


def outlook(parts: Parts) -> tuple[Any, ...]:
    [row] = parts.rows(OUTLOOK)
    grows, fills, days_left = row
    return *(None if value is None else round(value / GB, 2) for value in (grows, fills)), days_left


def test_what_is_free_is_what_the_disk_says(tmp_path: Path) -> None:
    space = disk_space(tmp_path)
    assert 0 < space.free <= space.total
    status = os.statvfs(tmp_path)
    assert space.total == status.f_blocks * status.f_frsize
    assert disk_space(tmp_path / "not" / "yet").total == space.total


def test_a_look_is_written_down_with_the_size_of_the_database(parts: Parts) -> None:
    note_disk(parts.refresher, DiskSpace(3, 7))
    [(database_bytes, free, total, days_left)] = parts.rows(
        "select database_bytes, disk_free_bytes, disk_total_bytes, days_left from disk_outlook"
    )
    assert (free, total, days_left) == (3, 7, None)
    assert database_bytes > 1_000_000


def test_before_the_first_look_there_is_no_row(parts: Parts) -> None:
    assert parts.rows(OUTLOOK) == []


def test_after_two_days_it_is_known_how_long_the_disk_lasts(parts: Parts) -> None:
    for day in range(10):
        look(parts, 10 - day, 5 + day, 60 - day)
    look(parts, 0, 15, 50)
    assert outlook(parts) == (1.0, 1.0, 50)


def test_looks_of_less_than_two_days_say_nothing(parts: Parts) -> None:
    look(parts, 1.9, 1, 60)
    look(parts, 0, 9, 50)
    assert outlook(parts) == (None, None, None)


@pytest.mark.parametrize(
    ("size", "free", "expected"),
    [
        ((5, 5), (60, 60), (0, 0, None)),
        ((5, 4), (60, 61), (-0.25, -0.25, None)),
        ((5, 9), (60, 60), (1.0, 0, 60)),
        ((5, 5), (60, 52), (0, 2.0, 26)),
    ],
    ids=["nothing grows", "it empties", "the database grows", "something else does"],
)
def test_the_faster_of_database_and_disk_counts(
    parts: Parts, size: tuple[int, int], free: tuple[int, int], expected: tuple[Any, ...]
) -> None:
    look(parts, 4, size[0], free[0])
    look(parts, 0, size[1], free[1])
    assert outlook(parts) == expected


def test_what_is_longer_ago_than_two_weeks_does_not_count(parts: Parts) -> None:
    look(parts, 30, 1, 90)
    for day in range(13):
        look(parts, 13 - day, 50, 50)
    look(parts, 0, 50, 50)
    assert outlook(parts) == (0, 0, None)


def test_of_older_days_one_look_stays(parts: Parts) -> None:
    for hour in range(20 * 24):
        look(parts, hour / 24, 5, 50)
    note_disk(parts.refresher, DiskSpace(3, 7))
    by_day = dict(
        parts.rows("select (looked_at at time zone 'UTC')::date, count(*) from disk_looks group by 1")
    )
    numbers = [by_day[day] for day in sorted(by_day)]
    assert numbers[1:12] == [1] * 11
    assert numbers[-6:-1] == [24] * 5
    firsts = parts.rows(
        "select bool_and(looked_at - date_trunc('day', looked_at, 'UTC') < interval '1 hour')"
        " from disk_looks where looked_at between now() - interval '18 days' and now() - interval '8 days'"
    )
    assert firsts == [(True,)], "the first of each"
