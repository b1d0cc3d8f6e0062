"""The loop: nothing is lost and nothing counts twice, whatever fails; one bad hit holds up nobody."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgspec
import psycopg
import pytest

from services import hit_stream
from services.enricher import consumer as module
from services.hit import MAX_ENTRY_BYTES, MAX_GROUP_HITS, VERSION, Accepted, LeftOut, decode_group
from services.hit_stream import GROUP, STREAM
from services.sealing import hour_name
from tests.conftest import Database
from tests.make import ADDRESS, DAY, SITE, USER_AGENT, make_raw_hit
from tests.services.enricher.parts import Bench, ledger, rows, state
from tools.servers import poll

pytestmark = pytest.mark.servers


def raw_hits(*ids: int, **differing: Any) -> list[Any]:
    return [make_raw_hit(id=number, **differing) for number in ids]


class Running:
    """An enricher in a thread."""

    def __init__(self, bench: Bench, name: str = "one", **more: Any) -> None:
        self._stopped = False
        self.error: BaseException | None = None
        self.consumer = bench.consumer(
            name, stopped=lambda: self._stopped, sleep=lambda _: time.sleep(0.01), **more
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.consumer.run()
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self._stopped = True
        self._thread.join(10)
        assert not self._thread.is_alive()
        assert self.error is None, self.error


def test_what_is_on_the_stream_becomes_rows_and_leaves_it(bench: Bench, database: Database) -> None:
    consumer = bench.consumer()
    left_out = [LeftOut("", DAY, "refused", "url", 3)]
    bench.put(bench.group(raw_hits(1, 2), left_out=left_out), bench.group(raw_hits(3), seq=2))
    assert consumer.run_once() == 2
    assert ledger(database) == (3, 3, 0, 0)
    assert (bench.waiting(), bench.pending()) == (0, 0)


def test_hits_are_read_from_the_beginning_of_the_stream(bench: Bench, database: Database) -> None:
    bench.put(bench.group(raw_hits(1)))  # before any enricher ever ran
    bench.drain(bench.consumer())
    assert ledger(database) == (1, 1, 0, 0)


def test_a_redelivered_group_changes_nothing(bench: Bench, database: Database) -> None:
    consumer = bench.consumer()
    groups = [
        bench.group(raw_hits(1, 2), left_out=[LeftOut("", DAY, "refused", "url", 3)]),
        bench.group([], seq=2),
    ]
    bench.put(*groups)
    bench.drain(consumer)
    before = state(database)
    bench.put(*groups, *groups)
    bench.drain(consumer)
    assert state(database) == before
    assert bench.metrics.redelivered._value.get() == 4
    assert ledger(database) == (2, 2, 0, 0)


def test_entries_are_acknowledged_after_the_commit_only(bench: Bench, database: Database) -> None:
    consumer = bench.consumer()
    bench.put(bench.group(raw_hits(1)))
    with database.connect() as other:
        other.execute("alter table ledger rename to ledger_away")
        with pytest.raises(psycopg.errors.UndefinedTable):
            consumer.run_once()
        assert (bench.waiting(), bench.pending()) == (1, 1)
        other.execute("alter table ledger_away rename to ledger")
    bench.drain(bench.consumer())  # restarted
    assert ledger(database) == (1, 1, 0, 0)


def test_a_restarted_enricher_reads_its_own_pending_entries_first(bench: Bench, database: Database) -> None:
    stream = bench.stream("one")
    early = bench.put(bench.group(raw_hits(1)), bench.group(raw_hits(2), seq=2))
    assert [entry.entry_id for entry in stream.read(10, 100)] == early  # and then it was killed
    late = bench.put(bench.group(raw_hits(3), seq=3))
    again = bench.stream("one")
    entries = again.read(1, 100) + again.read(1, 100)
    assert [entry.entry_id for entry in entries] == early
    assert [entry.deliveries for entry in entries] == [2, 2]
    assert [entry.entry_id for entry in again.read(10, 100)] == late
    bench.drain(bench.consumer())
    assert ledger(database) == (3, 3, 0, 0)


def test_what_was_deleted_after_it_was_read_is_no_dead_letter(bench: Bench, database: Database) -> None:
    ids = bench.put(*(bench.group(raw_hits(n), seq=n) for n in range(1, 5)), b"nonsense")
    assert len(bench.stream("one").read(10, 100)) == 5  # and then it was killed
    bench.redis.xdel(STREAM, ids[1], ids[4])
    consumer = bench.consumer()
    consumer._next_housekeeping_s = time.time() + 3_600  # claiming would take them away first
    bench.drain(consumer)
    assert ledger(database) == (3, 3, 0, 0)
    assert bench.pending() == 0


def test_an_enricher_of_another_name_takes_over_what_was_left(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = bench.stream("gone")
    bench.put(*(bench.group(raw_hits(n), seq=n) for n in range(1, 251)))
    assert len(gone.read(250, 100)) == 250
    monkeypatch.setattr(module, "HOUSEKEEPING_EVERY_S", 0.0)
    consumer = bench.consumer("other")
    consumer.run_once()
    assert ledger(database) == (0, 0, 0, 0), "not before its time"
    monkeypatch.setattr(hit_stream, "CLAIM_IDLE_MS", 1)
    assert bench.drain(consumer) <= 10, "the scan goes on where it stopped"
    assert ledger(database) == (250, 250, 0, 0)
    assert bench.pending() == 0


def test_two_enrichers_at_once_store_each_hit_once(
    bench: Bench, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hit_stream, "CLAIM_IDLE_MS", 1)  # they take from each other all the time
    monkeypatch.setattr(module, "HOUSEKEEPING_EVERY_S", 0.02)
    groups = [bench.group(raw_hits(n, n + 1), seq=n) for n in range(1, 150)]
    enrichers = [Running(bench, "one", max_deliveries=1_000), Running(bench, "two", max_deliveries=1_000)]
    for data in groups:
        bench.put(data)
    bench.put(*groups[::3])
    assert poll(lambda: bench.waiting() == 0, 30)
    for enricher in enrichers:
        enricher.stop()
    assert ledger(database) == (298, 150, 148, 0)
    assert bench.pending() == 0


# What cannot be read or stored ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields", [{"g": b"nonsense"}, {"g": b""}, {"other": b"x"}], ids=["garbage", "empty", "none"]
)
def test_a_stranger_s_entry_is_buried_and_counted_and_the_stream_goes_on(
    bench: Bench, database: Database, fields: dict[str, bytes]
) -> None:
    bench.put(bench.group(raw_hits(1)))
    bench.redis.xadd(STREAM, fields)
    bench.put(bench.group(raw_hits(2), seq=2))
    bench.drain(bench.consumer())
    assert ledger(database) == (3, 2, 0, 1)
    assert rows(database, "select reason, site from dead_letters") == [("not-a-group", "")]


@pytest.mark.parametrize(
    ("reason", "change"),
    [
        ("version", {"version": VERSION + 1}),
        ("limits", {"accepted": [Accepted(SITE, DAY, MAX_GROUP_HITS + 1)]}),
        ("limits", {"sealed": bytes(MAX_ENTRY_BYTES)}),
    ],
    ids=["of the future", "too many hits", "too large"],
)
def test_an_entry_of_the_future_or_too_large_is_buried_and_the_others_are_stored(
    bench: Bench, database: Database, reason: str, change: dict[str, Any]
) -> None:
    strange = msgspec.structs.replace(decode_group(bench.group(raw_hits(1), seq=9)), **change)
    bench.put(bench.group(raw_hits(1)), msgspec.msgpack.encode(strange), bench.group(raw_hits(2), seq=2))
    bench.drain(bench.consumer())
    assert ledger(database) == (3, 2, 0, 1)
    assert rows(database, "select reason, site, hits, hit from dead_letters") == [(reason, "", 1, None)]


@pytest.mark.parametrize(
    "differing",
    [
        {"title": "NUL \0"},
        {"url": "https://blog.example/\0"},
        {"props": {"a": "\0"}},
        {"props": {"\0": 1}},
        {"event": "a\0"},
        {"referrer": "https://x.example/\0"},
    ],
    ids=lambda differing: next(iter(differing)),
)
def test_a_hit_that_postgresql_refuses_is_buried_alone(
    bench: Bench, database: Database, differing: dict[str, Any]
) -> None:
    hits = [*raw_hits(*range(1, 20)), make_raw_hit(id=20, **differing), *raw_hits(*range(21, 40))]
    bench.put(bench.group(raw_hits(50)), bench.group(hits, seq=2), bench.group(raw_hits(51), seq=3))
    bench.drain(bench.consumer())
    assert ledger(database) == (41, 40, 0, 1)
    [(reason, hit)] = rows(database, "select reason, hit from dead_letters")
    assert (reason, hit["hit_id"][-2:]) == ("row", "14")
    assert not {"address", "user_agent"} & set(hit)
    before = state(database)
    bench.put(bench.group(hits, seq=2))
    bench.drain(bench.consumer("two"))
    assert state(database) == before


def test_a_hit_that_a_constraint_refuses_is_buried_alone(bench: Bench, database: Database) -> None:
    """As one that somebody added to the table; what is copied first has none."""
    with database.connect() as owner:
        owner.execute("alter table stored_hits add constraint refuses check (event <> 'poison')")
    try:
        hits = [*raw_hits(*range(1, 9)), make_raw_hit(id=9, event="poison"), *raw_hits(10)]
        bench.put(bench.group(hits))
        bench.drain(bench.consumer())
        assert ledger(database) == (10, 9, 0, 1)
        assert rows(database, "select reason, error from dead_letters") == [("row", "CheckViolation")]
    finally:
        with database.connect() as owner:
            owner.execute("alter table stored_hits drop constraint refuses")


def test_many_bad_hits_are_buried_each_alone(bench: Bench, database: Database) -> None:
    bad = {3, 4, 40, 77, 100}
    hits = [make_raw_hit(id=n, title="\0" if n in bad else "good") for n in range(1, 101)]
    bench.put(bench.group(hits))
    bench.drain(bench.consumer())
    assert ledger(database) == (100, 95, 0, 5)
    buried = {int(hit["hit_id"][-12:], 16) for hit in rows(database, "select hit from dead_letters")}
    assert buried == bad


def test_of_hits_with_one_id_the_bad_ones_are_buried_each_and_the_good_one_is_stored(
    bench: Bench, database: Database
) -> None:
    hits = [
        make_raw_hit(id=1, **differing)
        for differing in ({"url": "nonsense"}, {"title": "\0"}, {}, {"url": "nonsense"}, {"title": "\0"})
    ]
    bench.put(bench.group(hits))
    bench.drain(bench.consumer())
    assert ledger(database) == (5, 1, 0, 4)
    assert rows(database, "select reason from dead_letters order by 1") == ["row", "row", "url", "url"]


def test_a_hit_that_breaks_the_enrichment_is_buried_alone(bench: Bench, database: Database) -> None:
    bench.enricher._country_of = {"198.51.100.1": "DE"}.__getitem__  # a look-up that raises for all others
    hits = [
        make_raw_hit(id=1),
        make_raw_hit(id=2, url="nonsense"),
        make_raw_hit(id=3, address="198.51.100.1"),
    ]
    bench.put(bench.group(hits))
    bench.drain(bench.consumer())
    assert ledger(database) == (3, 1, 0, 2)
    letters = rows(database, "select reason, coalesce(error, '') from dead_letters order by reason")
    assert [reason for reason, _ in letters] == ["enrich", "url"]
    assert letters[0][1].startswith("KeyError at ")
    assert ADDRESS not in repr(letters)


def test_without_its_keys_an_enricher_waits_and_buries_nothing(bench: Bench, database: Database) -> None:
    """KEY_DIR full, or not mounted, is no fault of the hits."""
    consumer = bench.consumer()
    bench.put(bench.group(raw_hits(1)))
    bench.sealing.unseal(hour_name(time.time()), b"", b"")  # it is in memory; a session's cannot be made
    folder = bench.settings.key_dir
    away = folder.rename(folder.with_name("away"))
    with pytest.raises(OSError, match="No such file") as caught:
        bench.drain(consumer)
    consumer._after_failure(caught.value, 0)
    assert '"what": "keys"' in bench.log.text
    assert ledger(database) == (0, 0, 0, 0)
    away.rename(folder)
    bench.drain(bench.consumer())
    assert ledger(database) == (1, 1, 0, 0)


# Servers fail -----------------------------------------------------------------------------------------------------


def backend_of(database: Database, what: str) -> list[int]:
    return rows(
        database,
        "select pid from pg_stat_activity where application_name = 'footfall enricher' and datname = %s"
        f" and {what}",
        database.name,
    )


def test_a_connection_killed_in_the_middle_of_a_batch_loses_nothing(bench: Bench, database: Database) -> None:
    groups = [
        bench.group(raw_hits(n, 1), seq=n, left_out=[LeftOut("", DAY, "refused", "url", 1)])
        for n in range(1, 20)
    ]
    with database.connect() as other, other.transaction():
        other.execute("lock table ledger in share mode")  # the batch stops in the middle of its statement
        running = Running(bench)
        bench.put(*groups)
        for _ in range(3):
            assert poll(lambda: backend_of(database, "wait_event_type = 'Lock'") != [], 10)
            [pid] = backend_of(database, "wait_event_type = 'Lock'")
            other.execute("select pg_terminate_backend(%s, 5000)", [pid])
    assert poll(lambda: bench.waiting() == 0, 10)
    running.stop()
    assert ledger(database) == (38, 19, 19, 0)
    assert rows(database, "select hits from ledger_left_out") == [19]
    assert bench.metrics.retries.labels("postgresql")._value.get() >= 3
    assert "waiting" in bench.log.actions


def test_a_redis_that_cuts_its_connections_loses_nothing(bench: Bench, database: Database) -> None:
    running = Running(bench)
    for number in range(1, 60):
        bench.put(bench.group(raw_hits(number), seq=number))
        if number % 10 == 0:
            assert poll(lambda: bench.redis.client_kill_filter(_type="normal", skipme=True) > 0, 5)
    assert poll(lambda: bench.waiting() == 0, 20)

    def cut_again() -> bool:
        """Between two commands a cut is mended unseen; while the enricher waits for hits it is not."""
        bench.redis.client_kill_filter(_type="normal", skipme=True)
        return bool(bench.metrics.retries.labels("redis")._value.get())

    assert poll(cut_again, 10)
    running.stop()
    assert ledger(database) == (59, 59, 0, 0)


def test_a_stream_that_was_lost_is_begun_anew(bench: Bench, database: Database) -> None:
    running = Running(bench)
    bench.put(bench.group(raw_hits(1)))
    assert poll(lambda: bench.waiting() == 0, 10)
    bench.redis.flushall()
    bench.put(bench.group(raw_hits(2), seq=2))
    assert poll(lambda: bench.waiting() == 0, 10)
    running.stop()
    assert ledger(database) == (2, 2, 0, 0)


# Tried too often ----------------------------------------------------------------------------------------------------


def hand_out(bench: Bench, times: int) -> None:
    """Hand an entry out again and again, as to an enricher that is killed each time."""
    for _ in range(times):
        bench.stream("one").read(10, 100)


def test_an_entry_that_kills_the_enricher_is_buried_in_the_end(bench: Bench, database: Database) -> None:
    bench.put(bench.group(raw_hits(1, 2), left_out=[LeftOut("", DAY, "refused", "url", 3)]))
    hand_out(bench, 6)
    for _ in range(6):  # each time it is noted first, and then the process dies
        with bench.connect() as connection:
            module.Store(connection).notes.count_attempt(bench.redis.xrange(STREAM)[0][0].decode())
    bench.put(bench.group(raw_hits(3), seq=2))
    bench.drain(bench.consumer())
    assert ledger(database) == (3, 1, 0, 2)
    assert rows(database, "select reason, hits, hit from dead_letters") == [("deliveries", 2, None)]
    assert rows(database, "select hits from ledger_left_out") == [3]
    assert rows(database, "select count(*) from lone_attempts") == [0]


def test_an_entry_that_was_handed_out_often_for_no_fault_of_its_own_is_stored(
    bench: Bench, database: Database
) -> None:
    bench.put(bench.group(raw_hits(1)), bench.group(raw_hits(2), seq=2))
    hand_out(bench, 30)
    bench.drain(bench.consumer())
    assert ledger(database) == (2, 2, 0, 0)
    assert rows(database, "select count(*) from lone_attempts") == [0]


def test_a_bad_deploy_stops_the_enricher_and_buries_nothing(bench: Bench, database: Database) -> None:
    """Started again and again by a supervisor, for hours: the hits wait until somebody mends it."""
    bench.put(*(bench.group(raw_hits(n), seq=n) for n in range(1, 4)))
    with database.connect() as other:
        other.execute("alter table ledger rename column duplicate to doubles")
        for _ in range(20):
            consumer = bench.consumer(max_deliveries=2)
            with pytest.raises(psycopg.errors.UndefinedColumn):
                consumer.run_once()
            consumer.close()
        other.execute("alter table ledger rename column doubles to duplicate")
    bench.drain(bench.consumer(max_deliveries=2))
    assert ledger(database) == (3, 3, 0, 0)


# Keys, metrics, logs ------------------------------------------------------------------------------------------------


def test_keys_go_when_their_hits_are_stored(bench: Bench) -> None:
    consumer = bench.consumer()
    bench.put(bench.group(raw_hits(1)))
    day_later_s = time.time() + 86_400
    consumer._keep_house(time.time())  # the entry waits: written now, sealed under an old hour
    assert consumer.run_once() == 1 or bench.waiting() == 0
    consumer._keep_house(day_later_s)
    assert [path.stat().st_size for path in bench.settings.key_dir.glob("seal-*.key")] == [0]
    assert "keys-destroyed" in bench.log.actions


def test_what_became_of_hits_is_counted(bench: Bench) -> None:
    bench.put(bench.group(raw_hits(1, 2)), bench.group(raw_hits(2), seq=2), b"nonsense")
    bench.drain(bench.consumer())
    fates = {
        fate: bench.metrics.hits.labels(fate)._value.get()
        for fate in ("stored", "duplicate", "dead-lettered")
    }
    assert fates == {"stored": 2, "duplicate": 1, "dead-lettered": 1}
    assert bench.metrics.heartbeat._value.get() == pytest.approx(time.time(), abs=30)


def test_the_log_names_nobody(bench: Bench) -> None:
    secrets = {
        "url": "https://blog.example/secret?q=secret",
        "title": "secret \0",
        "referrer": "https://secret.example/",
    }
    bench.put(bench.group(raw_hits(1)), bench.group(raw_hits(2, **secrets), seq=2), b"nonsense")
    bench.put(bench.group(raw_hits(1), seq=3), bench.group(raw_hits(4, url="secret"), seq=4))
    bench.drain(bench.consumer())
    assert {"dead-letters", "batch"} <= set(bench.log.actions)
    for secret in (ADDRESS, USER_AGENT, "secret"):
        assert secret not in bench.log.text


def test_the_group_is_made_once(bench: Bench) -> None:
    for name in ("one", "two", "one"):
        bench.stream(name)
    assert [group["name"].decode() for group in bench.redis.xinfo_groups(STREAM)] == [GROUP]
