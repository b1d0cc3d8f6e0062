"""What a new hit costs beside those that are stored: by the enricher's own writing side and the rollup's refresh.

CPU is that of this process and of the two backends. The hits are like those of the data's last day, and come on that
day: the same pages, origins and clients, other people.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import NamedTuple

import psycopg
from msgspec.structs import replace

from bench.cpu import own_cpu_s
from bench.dataset import shape
from services.database import Connection
from services.enricher.batch import Work
from services.enricher.store import Store
from services.hit import Accepted, Group, Hit
from services.hit_stream import Entry
from services.rollup.refresh import prepare, refresh

# As a saturated pipeline takes them: in batches of so many, counted by one refresh.
HITS, HITS_A_BATCH = 20_000, 2_000
ROUNDS = 5  # after one that warms up: numbers, plans, caches
# As they come at 1,000 a second: a refresh each 0.2 s.
FEW_HITS, FEW_ROUNDS = 200, 15

GIVEN: dict[str, str] = {
    "props": "props::text",
    "hit_id": "uuid_send(hit_id)",
    "session_id": "uuid_send(session_id)",
    "received_at_us": "(extract(epoch from received_at) * 1000000)::bigint",
}


class Costs(NamedTuple):
    """Of a new hit, as each round measured them."""

    store_us: list[float]
    refresh_us: list[float]
    counted_ms: list[float]  # from the beginning of storing a few hits until the views show them

    @property
    def whole_us(self) -> list[float]:
        """CPU of storing and counting."""
        return [sum(both) for both in zip(self.store_us, self.refresh_us, strict=True)]


def sample(connection: Connection) -> list[Hit]:
    """The last day's hits, in their order, as the enricher hands them to its store."""
    columns = ", ".join(GIVEN.get(name, name) for name in Hit.__struct_fields__)
    rows = connection.execute(
        f"select {columns} from hits where day = %s order by received_at, hit_id limit %s",
        [shape.LAST_DAY, (1 + ROUNDS) * HITS + FEW_ROUNDS * FEW_HITS],
    ).fetchall()
    return [Hit(*row) for row in rows]


def as_new(hit: Hit) -> Hit:
    """The same of somebody else."""
    session = hit.session_id and _other(hit.session_id)
    return replace(hit, hit_id=_other(hit.hit_id), session_id=session)


def _other(given: bytes) -> bytes:
    return given[:14] + bytes((given[14] ^ 0x5E, given[15] ^ 0xED))


class Adder:
    """An enricher's store and a refresher on one database. Close it."""

    def __init__(self, url: str) -> None:
        self._storing = psycopg.connect(url, application_name="footfall bench")
        self._refreshing = psycopg.connect(url, application_name="footfall bench")
        self._store = Store(self._storing)
        self._numbers = 0
        self._pixel = uuid.uuid4().bytes
        prepare(self._refreshing)

    def close(self) -> None:
        self._storing.close()
        self._refreshing.close()

    def store(self, hits: list[Hit]) -> None:
        """In one transaction. Raises ``psycopg.Error``."""
        self._numbers += 1
        counts = Counter((hit.site, hit.day.isoformat()) for hit in hits)
        accepted = [Accepted(site, day, number) for (site, day), number in counts.items()]
        group = Group(1, self._pixel, self._numbers, "2026033123", accepted, [], [], b"")
        self._store.write([Work(Entry(f"{self._numbers}-0", b"", 1), group, hits=hits)])

    def refresh(self) -> None:
        """Until nothing waits. Raises ``psycopg.Error``."""
        while refresh(self._refreshing):
            pass

    def cpu_s(self, work: Callable[[], None]) -> float:
        """CPU time of this process and both backends."""
        pids = [connection.info.backend_pid for connection in (self._storing, self._refreshing)]
        before = time.process_time() + sum(map(own_cpu_s, pids))
        work()
        return time.process_time() + sum(map(own_cpu_s, pids)) - before


def measure(urls: list[str], hits: list[Hit]) -> list[Costs]:
    """Add new hits like these to databases, by turns. Raises ``psycopg.Error``."""
    new = [as_new(hit) for hit in hits]
    few = min(FEW_HITS, len(new) // 4 // FEW_ROUNDS)
    many = (len(new) - few * FEW_ROUNDS) // (1 + ROUNDS)
    costs = [Costs([], [], []) for _ in urls]
    with ExitStack() as closing_all:
        adders = [closing_all.enter_context(closing(Adder(url))) for url in urls]
        for number in range(1 + ROUNDS):
            for adder, cost in zip(adders, costs, strict=True):
                stored_s, refreshed_s = _add(adder, new[number * many : (number + 1) * many])
                if number:  # the first one warms up
                    cost.store_us.append(stored_s / many * 1e6)
                    cost.refresh_us.append(refreshed_s / many * 1e6)
        rest = new[(1 + ROUNDS) * many :]
        for number in range(FEW_ROUNDS):
            for adder, cost in zip(adders, costs, strict=True):
                cost.counted_ms.append(_count(adder, rest[number * few : (number + 1) * few]) * 1000)
    return costs


def _add(adder: Adder, hits: list[Hit]) -> tuple[float, float]:
    """CPU seconds of storing and of counting."""
    batches = [hits[start : start + HITS_A_BATCH] for start in range(0, len(hits), HITS_A_BATCH)]

    def store() -> None:
        for batch in batches:
            adder.store(batch)

    return adder.cpu_s(store), adder.cpu_s(adder.refresh)


def _count(adder: Adder, hits: list[Hit]) -> float:
    """Seconds until a few hits are stored and counted."""
    began = time.monotonic()
    adder.store(hits)
    adder.refresh()
    return time.monotonic() - began
