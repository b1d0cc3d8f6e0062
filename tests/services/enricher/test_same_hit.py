"""The same id on the same site and day is one hit, the first that is stored, whoever stores it and when."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from services.enricher.store import Store, Written
from tests.conftest import Database
from tests.make import DAY, make_raw_hit
from tests.services.enricher.parts import Bench, ledger, rows

pytestmark = pytest.mark.servers
NEXT_DAY = "2026-11-23"


@pytest.fixture
def store(bench: Bench) -> Any:
    connection = bench.connect()
    yield Store(connection)
    connection.close()


def raw_hits(*ids: int, **differing: Any) -> list[Any]:
    return [make_raw_hit(id=number, **differing) for number in ids]


@pytest.mark.parametrize("batches", [1, 2], ids=["one batch", "two batches"])
@pytest.mark.parametrize("pixels", [(1, 1), (1, 2)], ids=["one pixel", "two pixels"])
def test_of_the_same_id_the_first_stored_wins(
    bench: Bench, store: Store, database: Database, batches: int, pixels: tuple[int, int]
) -> None:
    first, second = raw_hits(1, title="first"), raw_hits(1, 2, title="second")
    groups = [bench.group(first, pixel=pixels[0]), bench.group(second, seq=2, pixel=pixels[1])]
    works = bench.works(*groups)
    for batch in [works] if batches == 1 else [works[:1], works[1:]]:
        store.write(batch)
    assert rows(database, "select title from hits order by hit_id") == ["first", "second"]
    assert ledger(database) == (3, 2, 1, 0)


def test_the_same_id_within_a_group_is_one_hit(bench: Bench, store: Store, database: Database) -> None:
    hits = [make_raw_hit(id=1, title=str(number)) for number in range(5)]
    assert store.write(bench.works(bench.group(hits))) == Written(1, 4, 0, 0)
    assert rows(database, "select title from hits") == ["0"]
    assert ledger(database) == (5, 1, 4, 0)


def test_the_same_id_on_another_site_or_day_is_another_hit(
    bench: Bench, store: Store, database: Database
) -> None:
    hits = [make_raw_hit(id=1), make_raw_hit(id=1, day=NEXT_DAY), make_raw_hit(id=1, site="shop.example")]
    assert store.write(bench.works(bench.group(hits))).stored == 3
    assert ledger(database) == (3, 3, 0, 0)


def test_a_batch_of_duplicates_only_leaves_no_word_for_the_rollups(
    bench: Bench, store: Store, database: Database
) -> None:
    store.write(bench.works(bench.group(raw_hits(1, 2))))
    pending = rows(database, "select batch_id from rollup_pending")
    assert store.write(bench.works(bench.group(raw_hits(1, 2), seq=2))) == Written(0, 2, 0, 0)
    assert rows(database, "select batch_id from rollup_pending") == pending
    assert ledger(database) == (4, 2, 2, 0)


# Stored by somebody else ----------------------------------------------------------------------------------------


def test_after_a_known_id_the_store_looks_first_until_none_is_known(
    bench: Bench, store: Store, database: Database
) -> None:
    numbers = iter(range(1, 100))

    def failed_copies(*ids: int) -> int:
        before = rows(database, "select last_value from hits_batch_id_seq")[0]
        store.write(bench.works(bench.group(raw_hits(*ids), seq=next(numbers))))
        return int(rows(database, "select last_value from hits_batch_id_seq")[0]) - before - 1

    failed_copies(0)
    batches = ([1, 2], [2, 3], [3, 4], [5], [6], [6])
    assert [failed_copies(*ids) for ids in batches] == [0, 1, 0, 0, 0, 1]
    assert ledger(database) == (10, 7, 3, 0)


def test_two_enrichers_with_the_same_ids_in_other_groups_store_each_once(
    bench: Bench, database: Database
) -> None:
    """Each id is in a batch of both at once, on two days, in opposite orders: no deadlock, no hit twice."""
    problems: list[BaseException] = []
    stored: list[int] = []
    ready = threading.Barrier(2)

    def write(pixel: int, step: int) -> None:
        try:
            with bench.connect() as connection:
                mine = Store(connection)
                for seq in range(1, 7):
                    ids = range(seq * 10, seq * 10 + 10)
                    hits = [make_raw_hit(id=n, day=day) for n in ids for day in (DAY, NEXT_DAY)][::step]
                    works = bench.works(bench.group(hits, seq=seq, pixel=pixel))
                    ready.wait(10)
                    stored.append(mine.write(works).stored)
        except BaseException as error:
            problems.append(error)
            ready.abort()

    threads = [threading.Thread(target=write, args=(1, 1)), threading.Thread(target=write, args=(2, -1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert sum(stored) == 120
    assert ledger(database) == (240, 120, 120, 0)


def test_a_probe_takes_a_stored_hit_for_no_bad_row(bench: Bench, store: Store, database: Database) -> None:
    works = bench.works(bench.group(raw_hits(1, 2)))
    store.write(works)
    store.probe([*works[0].hits, *works[0].hits])
    assert ledger(database) == (2, 2, 0, 0)
