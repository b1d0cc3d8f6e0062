"""When no pixel could take a hit: the view ``gaps``, by the signs of life that groups bring, in any order."""

from __future__ import annotations

import datetime
import itertools
import time
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.hit import Alive, encode_group
from services.hit_stream import FIELD
from services.sealing import hour_name
from tests.conftest import Database
from tests.make import NOW, NOW_US
from tests.services.enricher.parts import Bench, rows
from tests.strategies import examples

pytestmark = pytest.mark.servers
MINUTE = 60
GAPS = "select began_at, ended_at, seconds from gaps order by began_at"
_seqs = itertools.count(1)


def beat(bench: Bench, began_s: float, until_s: float, pixel: int = 1, stretch: int = 1) -> bytes:
    """A group without hits of a pixel that ran from when to when, in seconds after ``NOW``."""
    return encode_group(
        [],
        pixel_id=uuid.UUID(int=pixel).bytes,
        seq=next(_seqs),
        key_name=hour_name(time.time()),
        sealer=bench.sealing,
        alive=Alive(stretch, NOW_US + int(began_s * 1_000_000), NOW_US + int(until_s * 1_000_000)),
    )


def write(bench: Bench, *groups: bytes) -> None:
    bench.consumer()._open_store().write(bench.works(*groups))


def at(seconds: float) -> datetime.datetime:
    return NOW + datetime.timedelta(seconds=seconds)


@pytest.fixture
def looked(database: Database) -> Iterator[Database]:
    """An enricher has looked at ``NOW``, and nothing waited."""
    look(database, 0)
    yield database


def look(database: Database, seconds: float, oldest_s: float | None = None) -> None:
    with database.connect() as connection:
        connection.execute("delete from stream_look")
        connection.execute(
            "insert into stream_look (looked_at, entries, entries_read, oldest_at) values (%s, %s, 0, %s)",
            [at(seconds), int(oldest_s is not None), None if oldest_s is None else at(oldest_s)],
        )


def test_before_the_first_sign_nothing_is_known(bench: Bench, looked: Database) -> None:
    assert rows(looked, GAPS) == []
    write(bench, beat(bench, -600, -30))
    assert rows(looked, GAPS) == []


def test_a_gap_lies_between_the_runs_of_pixels(bench: Bench, looked: Database) -> None:
    write(bench, beat(bench, -9_000, -8_000), beat(bench, -7_000, -30, pixel=2))
    assert rows(looked, GAPS) == [(at(-8_000), at(-7_000), 1_000)]


def test_a_restart_is_no_gap(bench: Bench, looked: Database) -> None:
    write(bench, beat(bench, -9_000, -8_000), beat(bench, -7_881, -30, pixel=2))
    assert rows(looked, GAPS) == []


def test_while_another_pixel_runs_there_is_no_gap(bench: Bench, looked: Database) -> None:
    write(
        bench, beat(bench, -9_000, -100), beat(bench, -8_900, -8_800, pixel=2), beat(bench, -150, -9, pixel=3)
    )
    assert rows(looked, GAPS) == []


def test_a_machine_that_slept_is_a_gap_within_one_run(bench: Bench, looked: Database) -> None:
    write(bench, beat(bench, -9_000, -8_000), beat(bench, -5_000, -30, stretch=2))
    assert rows(looked, GAPS) == [(at(-8_000), at(-5_000), 3_000)]


def test_a_gap_is_open_until_a_pixel_is_heard_again(bench: Bench, looked: Database) -> None:
    write(bench, beat(bench, -9_000, -300))
    assert rows(looked, GAPS) == [(at(-300), None, 300)]
    look(looked, MINUTE)
    assert rows(looked, GAPS) == [(at(-300), None, 360)], "it grows"
    write(bench, beat(bench, 30, 30, pixel=2))
    assert rows(looked, GAPS) == [(at(-300), at(30), 330)]


def test_what_nobody_has_looked_at_is_no_gap(bench: Bench, looked: Database) -> None:
    write(bench, beat(bench, -9_000, -90))
    assert rows(looked, GAPS) == [], "the enricher has been away since"
    look(looked, 9_000, oldest_s=20)
    assert rows(looked, GAPS) == [], "signs may wait behind what waits"
    look(looked, 9_000)
    assert rows(looked, GAPS) == [(at(-90), None, 9_090)]


def test_the_enricher_notes_how_long_the_oldest_entry_has_waited(bench: Bench, database: Database) -> None:
    consumer = bench.consumer()
    consumer._open_store().notes.note_stream(consumer._stream.look())
    assert rows(database, "select oldest_at from stream_look") == [None]
    bench.put(beat(bench, -60, 0))
    bench.redis.xadd("footfall:hits", {FIELD: b"x"})
    consumer._open_store().notes.note_stream(consumer._stream.look())
    [oldest_at] = rows(database, "select oldest_at from stream_look")
    assert abs(oldest_at - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)


# Pixel, stretch, minute of the beginning, minutes.
RUNS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(-50, 0), st.integers(0, 10)).filter(
        lambda run: run[2] + run[3] <= 0
    ),
    min_size=1,
    max_size=8,
)


def silences(runs: list[tuple[int, int, int, int]]) -> list[tuple[int, int | None]]:
    """By their definition: minutes of 2 and more in which no stretch is under way, up to minute 0."""
    ends: dict[tuple[int, int], list[int]] = {}
    for pixel, stretch, minute, length in runs:
        ends.setdefault((pixel, stretch), []).extend((minute, minute + length))
    alive = sorted({minute for run in ends.values() for minute in range(min(run), max(run) + 1)})
    found: list[tuple[int, int | None]] = [(a, b) for a, b in itertools.pairwise(alive) if b - a >= 2]
    return found + ([(alive[-1], None)] if alive[-1] <= -2 else [])


@hypothesis_settings(max_examples=examples(20))
@given(runs=RUNS, data=st.data())
def test_gaps_are_the_same_for_any_order_and_any_duplicates(
    module_database: Database, bench: Bench, runs: list[tuple[int, int, int, int]], data: st.DataObject
) -> None:
    store = bench.consumer()._open_store()
    with module_database.connect() as connection:
        connection.execute("truncate pixel_runs")
        look(module_database, 0)
        groups = [beat(bench, m * MINUTE, (m + n) * MINUTE, p, s) for p, s, m, n in runs]
        for group in data.draw(st.permutations([*groups, *groups[:2]])):
            store.write(bench.works(group))
        found = connection.execute("select began_at, ended_at from gaps order by began_at").fetchall()
    bench.close()
    assert found == [(at(a * MINUTE), None if b is None else at(b * MINUTE)) for a, b in silences(runs)]


@pytest.mark.parametrize(
    ("since_s", "at_s", "found"),
    [
        (-9_000, -8_000, [(-9_000, -8_000)]),
        (3_000, 3_600, [(-600, 0)]),  # its clock is an hour ahead: as said now
        (-600, 200, [(-600, 200)]),  # within what clocks may differ
        (-9_000, -10_000, [(-10_000, -10_000)]),
        (-4e10 / 24, -4e10 / 24, []),  # it did not know the time
    ],
)
def test_a_pixel_s_clock_may_be_wrong(
    bench: Bench, database: Database, since_s: float, at_s: float, found: list[tuple[int, int]]
) -> None:
    write(bench, beat(bench, since_s, at_s))
    assert rows(database, "select began_at, last_at from pixel_runs") == [(at(a), at(b)) for a, b in found]


def test_no_time_that_a_group_may_say_is_more_than_the_enricher_can_take(
    bench: Bench, database: Database
) -> None:
    latest = 253_402_300_799_000_000
    for since_us, at_us in ((0, latest), (latest, latest), (latest, 0), (0, 0)):
        alive = Alive(1, since_us, at_us)
        data = encode_group(
            [], pixel_id=bytes(16), seq=next(_seqs), key_name="2026112218", sealer=bench.sealing, alive=alive
        )
        write(bench, data)
    assert len(rows(database, "select from stream_groups")) == 4
