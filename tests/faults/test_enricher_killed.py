"""SIGKILL of an enricher at each step between a read and its acknowledgement, and what Redis and PostgreSQL do then.

The process is a real one. A proxy holds it at the step: it has sent or not sent, and waits.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import psycopg
import pytest

from services.database import connect
from services.hit_stream import FIELD, GROUP, STREAM
from tests.conftest import Database
from tests.faults.wires import Wires
from tests.make import make_raw_hit
from tests.services.enricher.parts import Bench, ledger, rows
from tools.fault_proxy import Direction, Trap
from tools.servers import poll

pytestmark = pytest.mark.servers
WITHIN_S = 60.0  # a process starts in 1 s; on a busy machine in many
HITS = 300  # some 30 kB of COPY
Step = Callable[[Wires, Callable[[], None]], None]
_seqs = itertools.count(1)


def put(bench: Bench) -> None:
    """Groups of so many hits, one of them twice, on the stream at once."""
    made = [bench.group([make_raw_hit() for _ in range(HITS // 3)], seq=next(_seqs)) for _ in range(3)]
    with bench.redis.pipeline(transaction=True) as pipeline:
        for data in (*made, made[0]):
            pipeline.xadd(STREAM, {FIELD: data})
        pipeline.execute()


def reached(trap: Trap) -> None:
    assert trap.reached.wait(WITHIN_S), f"never came by: {trap.pattern!r}"


def hits_commit(where: Direction) -> Step:
    """The COMMIT of the hits, not of the numbers that they have in common."""

    def step(wires: Wires, begin: Callable[[], None]) -> None:
        inserted = wires.postgres.trap(b"enricher: book_hits", "answer", "hold")
        begin()
        reached(inserted)
        trap = wires.postgres.trap(b"COMMIT", where, "hold", after=inserted)
        wires.postgres.release()
        reached(trap)

    return step


def on(server: str, pattern: bytes, where: Direction, after_bytes: int = 0) -> Step:
    def step(wires: Wires, begin: Callable[[], None]) -> None:
        trap = getattr(wires, server).trap(pattern, where, "hold", after_bytes)
        begin()
        reached(trap)

    return step


# Step, and whether the hits are committed then.
STEPS: dict[str, tuple[Step, bool]] = {
    # Answers without an entry are shorter.
    "in the middle of the answer to its read": (on("redis", b"XREADGROUP", "answer", 1_000), False),
    "before the groups are taken": (on("postgres", b"enricher: claim_groups", "request"), False),
    "in the middle of the COPY": (on("postgres", b"copy stored_hits", "request", 5_000), False),
    "before the ledger is booked": (on("postgres", b"enricher: book_hits", "request"), False),
    "between ledger and commit": (hits_commit("request"), False),
    "between commit and its answer": (hits_commit("answer"), True),
    "between commit and acknowledgement": (on("redis", b"XACK", "request"), True),
    "between acknowledgement and its answer": (on("redis", b"XACK", "answer"), True),
}


def test_an_enricher_killed_at_any_step_stores_each_hit_once(
    bench: Bench, database: Database, wires: Wires
) -> None:
    """One process after the other: each finishes what the one before it left, and is killed at the next step."""
    expected = 0
    for name, (step, is_committed) in STEPS.items():
        process = wires.start("enricher", CONSUMER_NAME="one")
        assert poll(lambda: bench.waiting() == 0, WITHIN_S), f"before {name}: {wires.log.read_text()[-2000:]}"
        assert rows(database, "select count(*) from hits") == [expected], f"before {name}"
        step(wires, lambda: put(bench))
        wires.kill(process)
        expected += HITS
        stored = rows(database, "select count(*) from hits")
        assert stored == [expected if is_committed else expected - HITS], name
    wires.start("enricher", CONSUMER_NAME="another one")
    bench.redis.xautoclaim(STREAM, GROUP, "another one", 0)  # as after CLAIM_IDLE_MS
    assert poll(lambda: bench.waiting() == 0, WITHIN_S)
    assert ledger(database) == (expected, expected, 0, 0), "copies are known by their groups' numbers"
    assert bench.pending() == 0


@pytest.mark.parametrize("after_bytes", [0, 1, 3_000])
def test_a_copy_that_is_cut_in_the_middle_is_done_again(
    bench: Bench, database: Database, wires: Wires, after_bytes: int
) -> None:
    trap = wires.postgres.trap(b"copy stored_hits", "request", "cut", after_bytes)
    consumer = bench.consumer()
    consumer._connect = lambda: connect(wires.settings, "enricher")
    put(bench)
    with pytest.raises(psycopg.OperationalError) as caught:
        consumer.run_once()
    consumer._after_failure(caught.value, 0)
    assert trap.reached.is_set()
    bench.drain(consumer)
    assert ledger(database) == (HITS, HITS, 0, 0)


@pytest.mark.parametrize("where", ["request", "answer"])
def test_a_commit_whose_fate_nobody_told_counts_once(
    bench: Bench, database: Database, wires: Wires, where: Direction
) -> None:
    consumer = bench.consumer()
    consumer._connect = lambda: connect(wires.settings, "enricher")
    put(bench)
    bench.drain(consumer)  # pages and clients are known now: one COMMIT a batch
    bench.put(bench.group([make_raw_hit(id=7)], seq=next(_seqs)))
    trap = wires.postgres.trap(b"COMMIT", where, "cut")
    with pytest.raises(psycopg.OperationalError) as caught:
        consumer.run_once()
    consumer._after_failure(caught.value, 0)
    assert trap.reached.is_set()
    bench.drain(consumer)
    assert ledger(database) == (HITS + 1, HITS + 1, 0, 0)
