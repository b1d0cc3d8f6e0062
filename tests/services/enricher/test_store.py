"""A batch is written once: hits, ledger, dead letters and word for the rollups agree whatever comes again."""

from __future__ import annotations

import datetime
import json
import threading
import time
import uuid
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.enricher.store import Store, Written, is_bad_row
from services.hit import LeftOut
from tests.conftest import Database
from tests.make import ADDRESS, DAY, NOW_US, SITE, USER_AGENT, make_hit, make_raw_hit
from tests.services.enricher.parts import Bench, ledger, rows, state
from tests.strategies import examples

pytestmark = pytest.mark.servers
NEXT_DAY = "2026-11-23"


@pytest.fixture
def store(bench: Bench) -> Any:
    connection = bench.connect()
    yield Store(connection)
    connection.close()


def raw_hits(*ids: int, **differing: Any) -> list[Any]:
    return [make_raw_hit(id=number, **differing) for number in ids]


def test_a_batch_is_stored_and_booked(bench: Bench, store: Store, database: Database) -> None:
    left_out = [LeftOut("", DAY, "refused", "url", 3), LeftOut(SITE, DAY, "excluded", "prefetch", 1)]
    hits = [*raw_hits(1, 2), *raw_hits(3, site="shop.example", day=NEXT_DAY)]
    written = store.write(bench.works(bench.group(hits, left_out=left_out), bench.group(raw_hits(4), seq=2)))
    assert written == Written(stored=4, duplicate=0, dead_lettered=0, redelivered_groups=0)
    assert rows(database, "select site, day::text, accepted, stored from ledger order by site") == [
        (SITE, DAY, 3, 3), ("shop.example", NEXT_DAY, 1, 1),
    ]  # fmt: skip
    assert rows(database, "select site, outcome, reason, hits from ledger_left_out order by site") == [
        ("", "refused", "url", 3), (SITE, "excluded", "prefetch", 1),
    ]  # fmt: skip
    assert rows(database, "select site, day::text, hits from rollup_pending order by site") == [
        (SITE, DAY, 3), ("shop.example", NEXT_DAY, 1),
    ]  # fmt: skip
    assert (
        len(set(rows(database, "select batch_id from hits union select batch_id from rollup_pending"))) == 1
    )
    assert ledger(database) == (4, 4, 0, 0)


def test_every_column_is_stored_as_it_is(bench: Bench, store: Store, database: Database) -> None:
    raw = make_raw_hit(
        id=7, url="https://www.blog.example/p%C3%A4ge?utm_source=s&utm_medium=m&utm_campaign=c&utm_term=t&utm_content=o",
        title="Ä 💩", referrer="https://x.example/", event="signup", status=404, language="de", screen="1x2",
        props={"text": "ä", "whole": 2**53, "half": 0.5, "yes": True}, is_me=True, received_at_us=NOW_US + 123_457,
    )  # fmt: skip
    [work] = bench.works(bench.group([raw]))
    store.write([work])
    [hit] = work.hits
    columns = hit.__struct_fields__
    as_a_hit_has_it = {
        "hit_id": "uuid_send(hit_id)",
        "session_id": "uuid_send(session_id)",
        "received_at_us": "(extract(epoch from received_at) * 1000000)::bigint",
    }
    chosen = ", ".join(as_a_hit_has_it.get(name, name) for name in columns)
    [row] = rows(database, f"select {chosen} from hits")
    for name, value in zip(columns, row, strict=True):
        expected = getattr(hit, name)
        assert value == (json.loads(expected) if name == "props" else expected), name


def test_a_group_that_comes_again_changes_nothing(bench: Bench, store: Store, database: Database) -> None:
    left_out = [LeftOut("", DAY, "refused", "url", 3)]
    groups = [bench.group(raw_hits(1, 2), left_out=left_out), bench.group([], seq=2, left_out=left_out)]
    store.write(bench.works(*groups))
    before = state(database)
    for again in (groups, groups[::-1], groups * 2, groups[:1]):
        written = store.write(bench.works(*again))
        assert (written.stored, written.duplicate, written.redelivered_groups) == (0, 0, len(again))
    assert state(database) == before
    assert ledger(database) == (2, 2, 0, 0)


def test_a_group_that_stands_twice_in_one_batch_counts_once(
    bench: Bench, store: Store, database: Database
) -> None:
    group = bench.group(raw_hits(1, 2), left_out=[LeftOut("", DAY, "refused", "url", 3)])
    assert store.write(bench.works(group, group, group)).redelivered_groups == 2
    assert ledger(database) == (2, 2, 0, 0)
    assert rows(database, "select hits from ledger_left_out") == [3]


def test_left_out_requests_add_up(bench: Bench, store: Store, database: Database) -> None:
    parts = [LeftOut(SITE, DAY, "excluded", "prefetch", 2), LeftOut(SITE, DAY, "excluded", "prefetch", 3)]
    store.write(bench.works(bench.group([], left_out=parts)))
    store.write(
        bench.works(bench.group([], seq=2, left_out=parts[:1]), bench.group([], seq=3, left_out=parts[1:]))
    )
    assert rows(database, "select hits from ledger_left_out") == [10]


# Abandoned groups ---------------------------------------------------------------------------------------------


def test_an_abandoned_group_that_comes_late_is_not_counted(
    bench: Bench, store: Store, database: Database
) -> None:
    late = bench.group(raw_hits(1, 2), seq=5, left_out=[LeftOut("", DAY, "refused", "url", 3)])
    store.write(bench.works(bench.group(raw_hits(3), seq=6, abandoned=[4, 5])))
    before = state(database)
    assert store.write(bench.works(late)) == Written(0, 0, 0, 1)
    assert store.write(bench.works(late, bench.group([], seq=7))).stored == 0
    assert state(database) == before
    assert ledger(database) == (1, 1, 0, 0)


@pytest.mark.parametrize("order", [(5, 6), (6, 5)])
def test_an_abandoned_group_in_the_batch_that_names_it_is_not_counted(
    bench: Bench, store: Store, database: Database, order: tuple[int, int]
) -> None:
    groups = {5: bench.group(raw_hits(1, 2), seq=5), 6: bench.group(raw_hits(3), seq=6, abandoned=[5])}
    store.write(bench.works(*(groups[number] for number in order)))
    assert ledger(database) == (1, 1, 0, 0)
    store.write(bench.works(groups[5]))
    assert ledger(database) == (1, 1, 0, 0)


def test_what_another_pixel_abandoned_is_its_own_affair(
    bench: Bench, store: Store, database: Database
) -> None:
    store.write(
        bench.works(bench.group(raw_hits(3), seq=6, abandoned=[5]), bench.group(raw_hits(1), seq=5, pixel=2))
    )
    assert ledger(database) == (2, 2, 0, 0)


def test_a_group_that_was_stored_and_then_called_abandoned_stays(
    bench: Bench, store: Store, database: Database
) -> None:
    early = bench.group(raw_hits(1, 2), seq=5)
    store.write(bench.works(early))
    store.write(bench.works(bench.group(raw_hits(3), seq=6, abandoned=[5])))
    store.write(bench.works(early))
    assert ledger(database) == (3, 3, 0, 0)


# What cannot be read ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\xc1", b"\x92\x02\x03"], ids=repr)
def test_an_undecodable_entry_is_buried_once_and_counted(
    bench: Bench, store: Store, database: Database, data: bytes
) -> None:
    works = bench.works(data, bench.group(raw_hits(1)))
    assert store.write(works) == Written(1, 0, 1, 0)
    before = state(database)
    assert store.write(works) == Written(0, 0, 0, 1)
    assert state(database) == before
    assert ledger(database) == (2, 1, 0, 1)
    [letter] = rows(database, "select site, day::text, entry_id, hits, size_bytes, hit from dead_letters")
    assert letter == ("", DAY, works[0].entry.entry_id, 1, len(data), None)


def test_a_group_whose_key_is_destroyed_is_buried_by_site_and_day(
    bench: Bench, store: Store, database: Database
) -> None:
    hits = [*raw_hits(1, 2), *raw_hits(3, site="shop.example"), *raw_hits(4, day=NEXT_DAY)]
    group = bench.group(hits, left_out=[LeftOut("", DAY, "refused", "url", 3)])
    bench.sealing.destroy_ended(time.time() + 86_400, None)
    works = bench.works(group)
    for _ in range(2):
        store.write(works)
        assert ledger(database) == (4, 0, 0, 4)
    found = rows(database, "select site, day::text, reason, hits, hit from dead_letters order by 1, 2")
    assert found == [
        (SITE, DAY, "seal", 2, None), (SITE, NEXT_DAY, "seal", 1, None), ("shop.example", DAY, "seal", 1, None),
    ]  # fmt: skip
    assert rows(database, "select hits from ledger_left_out") == [3], "the clear part still counts"


def test_a_hit_that_cannot_be_enriched_is_buried_alone_without_the_person(
    bench: Bench, store: Store, database: Database
) -> None:
    secrets = "https://user:pass@blog.example:x y/jane@mail.example?token=secret#secret"
    bad = make_raw_hit(
        id=1, url="ftp" + secrets, referrer="https" + secrets, title="jane@mail.example \0", is_me=True
    )
    store.write(bench.works(bench.group([bad, make_raw_hit(id=2)])))
    assert ledger(database) == (2, 1, 0, 1)
    [(reason, error, hit)] = rows(database, "select reason, error, hit from dead_letters")
    assert (reason, error) == ("url", None)
    assert (hit["hit_id"], hit["is_me"], hit["event"]) == (str(uuid.UUID(int=1)), True, "pageview")
    assert not {"address", "user_agent"} & set(hit)
    for secret in (ADDRESS, USER_AGENT, "user:", "pass", "secret", "jane"):
        assert secret not in json.dumps(hit)


# Rows that PostgreSQL refuses, and trying ---------------------------------------------------------------------


def test_a_value_that_postgresql_refuses_is_a_bad_row_and_keeps_nothing(
    bench: Bench, store: Store, database: Database
) -> None:
    [work] = bench.works(bench.group(raw_hits(1)))
    for differing in ({"title": "NUL \0"}, {"props": '{"a": "\\u0000"}'}):
        hit = make_hit(**differing)
        with pytest.raises(psycopg.Error) as caught:
            store.probe([hit])
        assert is_bad_row(caught.value), differing
        work.hits = [hit]
        with pytest.raises(psycopg.Error):
            store.write([work])
    store.probe([make_hit()])
    assert ledger(database) == (0, 0, 0, 0)
    assert rows(database, "select count(*) from stream_groups") == [0]


@pytest.mark.parametrize(
    ("error", "bad"),
    [
        (psycopg.errors.StringDataRightTruncation(), True),
        (psycopg.errors.NotNullViolation(), True),
        (psycopg.errors.UndefinedColumn(), False),
        (psycopg.errors.InsufficientPrivilege(), False),
        (psycopg.errors.DiskFull(), False),
        (psycopg.errors.AdminShutdown(), False),
        (psycopg.OperationalError(), False),
    ],
)
def test_only_a_refused_value_is_a_bad_row(error: psycopg.Error, bad: bool) -> None:
    assert is_bad_row(error) == bad


def test_attempts_are_counted_durably(bench: Bench, store: Store) -> None:
    assert [
        store.notes.count_attempt("1-0"),
        store.notes.count_attempt("1-0"),
        store.notes.count_attempt("2-0"),
    ] == [1, 2, 1]
    with bench.connect() as other:
        assert Store(other).notes.count_attempt("1-0") == 3
    store.notes.forget_attempts("1-0")
    assert store.notes.count_attempt("1-0") == 1


@pytest.mark.parametrize("day", ["2025-10-18", "2025-12-31", "2026-02-28"])
def test_a_day_without_a_partition_gets_one(bench: Bench, store: Store, database: Database, day: str) -> None:
    store.write(bench.works(bench.group(raw_hits(1, day=day))))
    assert rows(database, "select day::text from hits") == [day]
    partition = f"hits_days.d{day.replace('-', '')}"
    assert rows(database, f"select count(*) from {partition}") == [1]


# At once ------------------------------------------------------------------------------------------------------


def test_of_two_that_store_the_same_groups_at_once_one_does(bench: Bench, database: Database) -> None:
    groups = [bench.group(raw_hits(n, n + 100), seq=n) for n in range(1, 30)]
    ready = threading.Barrier(3)
    results: list[Written] = []
    problems: list[BaseException] = []

    def write(works: list[Any]) -> None:
        try:
            with bench.connect() as connection:
                store = Store(connection)
                ready.wait(10)
                for work in works:
                    results.append(store.write([work]))
        except BaseException as error:
            problems.append(error)

    threads = [
        threading.Thread(target=write, args=(bench.works(*order),))
        for order in (groups, groups[::-1], groups)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert sum(written.stored for written in results) == 58
    assert sum(written.redelivered_groups for written in results) == 2 * 29
    assert ledger(database) == (58, 58, 0, 0)


def test_of_two_batches_with_the_same_groups_at_once_one_is_stored(bench: Bench, database: Database) -> None:
    """Large batches in opposite orders must not lock each other out."""
    groups = [bench.group(raw_hits(n, 7), seq=n, pixel=n % 3) for n in range(1, 60)]
    ready = threading.Barrier(2)
    problems: list[BaseException] = []

    def write(works: list[Any]) -> None:
        try:
            with bench.connect() as connection:
                store = Store(connection)
                ready.wait(10)
                store.write(works)
        except BaseException as error:
            problems.append(error)

    threads = [
        threading.Thread(target=write, args=(bench.works(*order),)) for order in (groups, groups[::-1])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert ledger(database) == (118, 59, 59, 0)


# Any history --------------------------------------------------------------------------------------------------

histories = st.lists(
    st.tuples(
        st.integers(1, 6),  # number of the group
        st.lists(st.integers(1, 8), max_size=4),  # ids of its hits
        st.sampled_from([SITE, "shop.example"]),
        st.lists(st.integers(1, 6), max_size=2),  # numbers that it says are abandoned
    ),
    max_size=10,
    unique_by=lambda group: group[0],
)


@given(history=histories, order=st.lists(st.integers(0, 9), max_size=14), cuts=st.sets(st.integers(0, 14)))
@hypothesis_settings(max_examples=examples(25))
def test_any_deliveries_in_any_batches_close_the_ledger(
    bench: Bench, store: Store, database: Database, history: Any, order: list[int], cuts: set[int]
) -> None:
    with database.connect() as connection:
        connection.execute(
            "truncate stored_hits, ledger, ledger_left_out, rollup_pending, dead_letters, stream_groups"
        )
    groups = [
        bench.group(
            [make_raw_hit(id=n, site=site) for n in ids], seq=seq, abandoned=[a for a in gone if a < seq]
        )
        for seq, ids, site, gone in history
    ]
    delivered = [groups[place] for place in order if place < len(groups)] + groups
    batch: list[bytes] = []
    for place, data in enumerate(delivered):
        batch.append(data)
        if place in cuts or place == len(delivered) - 1:
            store.write(bench.works(*batch))
            batch = []
    ledger(database)
    before = state(database)
    for data in groups:
        store.write(bench.works(data))
    assert state(database) == before


def test_a_row_keeps_its_own_time(bench: Bench, store: Store, database: Database) -> None:
    early = make_raw_hit(id=1, received_at_us=1_000_000)
    store.write(bench.works(bench.group([early])))
    assert rows(database, "select received_at from hits") == [
        datetime.datetime(1970, 1, 1, 0, 0, 1, tzinfo=datetime.UTC)
    ]
