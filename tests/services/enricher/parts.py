"""An enricher of real parts, and what the database holds after it."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import redis

from services.database import connect
from services.enricher.agents import Agents
from services.enricher.batch import Work, prepare
from services.enricher.consumer import Consumer
from services.enricher.country import Countries
from services.enricher.enrich import Enricher
from services.enricher.letter_limit import LetterLimit
from services.enricher.sources import sources_of
from services.enricher.time_limits import TimeLimits, time_limits
from services.hit import LeftOut, RawHit
from services.hit_stream import FIELD, GROUP, STREAM, HitStream
from services.hit_stream import connect as connect_redis
from services.metrics import EnricherMetrics
from services.sealing import SealingKeys, hour_name
from services.session_keys import SessionKeys
from services.settings import Settings
from tests.make import NOW, Log, encode, make_entry

AGENTS = Agents()
_entries = itertools.count(1)


class Bench:
    """Everything between a stream and a database, with the pixel's side played by the test."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = NOW  # of the enricher's clock, as far as hits go
        self.sealing = SealingKeys(settings.key_dir)
        self.sessions = SessionKeys(settings.key_dir, settings.report_timezone)
        self.log = Log()
        self.metrics = EnricherMetrics()
        self.redis: Any = redis.Redis.from_url(settings.redis_url)
        self.enricher = Enricher(settings, AGENTS, sources_of(settings), lambda _: "DE", self.sessions)
        self._made: list[Consumer] = []

    # The pixel's side

    def group(
        self,
        hits: list[RawHit],
        seq: int = 1,
        pixel: int = 1,
        left_out: list[LeftOut] | None = None,
        abandoned: list[int] | None = None,
        one_off_key: str | None = None,
    ) -> bytes:
        """A group's bytes; pixels are told apart by numbers."""
        return encode(
            hits,
            self.sealing,
            seq=seq,
            pixel_id=uuid.UUID(int=pixel).bytes,
            key_name=hour_name(time.time()),  # an older hour's key goes as soon as an enricher keeps house
            left_out=left_out,
            abandoned=abandoned,
            one_off_key=one_off_key,
        )

    def put(self, *groups: bytes) -> list[str]:
        """Put groups on the stream; the ids of their entries."""
        return [self.redis.xadd(STREAM, {FIELD: data}).decode() for data in groups]

    # The enricher's side

    def works(self, *groups: bytes) -> list[Work]:
        """Groups as they come to the store."""
        limits = self.time_limits()
        return [
            prepare(make_entry(data, next(_entries)), self.sealing, self.enricher, limits) for data in groups
        ]

    def time_limits(self) -> TimeLimits:
        """What time a hit may have now."""
        return time_limits(self.now, self.settings.report_timezone, self.settings.retention_days)

    def connect(self) -> psycopg.Connection[Any]:
        return connect(self.settings, "enricher")

    def stream(self, name: str) -> HitStream:
        client = connect_redis(self.settings.redis_url, "", timeout_s=5)
        stream = HitStream(client, name)
        stream.ensure_group()
        return stream

    def consumer(
        self,
        name: str = "one",
        *,
        max_deliveries: int = 5,
        max_dead_letter_percent: int = 100,
        stopped: Callable[[], bool] = lambda: False,
        sleep: Callable[[float], None] = lambda _: None,
        stream: HitStream | None = None,
    ) -> Consumer:
        """An enricher as ``__main__`` builds it."""
        consumer = Consumer(
            stream=stream or self.stream(name),
            connect=self.connect,
            enricher=self.enricher,
            sealing=self.sealing,
            sessions=self.sessions,
            countries=Countries(Path("/nonexistent"), self.log),  # type: ignore[arg-type]
            time_limits=self.time_limits,
            metrics=self.metrics,
            log=self.log,  # type: ignore[arg-type]
            max_deliveries=max_deliveries,
            limit=LetterLimit(max_dead_letter_percent),
            stopped=stopped,
            sleep=sleep,
        )
        self._made.append(consumer)
        return consumer

    def drain(self, consumer: Consumer) -> int:
        """Run until nothing is on the stream; how many rounds that took."""
        rounds = 0
        while self.waiting():
            consumer.run_once()
            rounds += 1
            assert rounds < 200, "the stream goes on"
        return rounds

    def waiting(self) -> int:
        """Entries on the stream."""
        return int(self.redis.xlen(STREAM))

    def pending(self) -> int:
        """Entries that somebody has read and not done."""
        return int(self.redis.xpending(STREAM, GROUP)["pending"])

    def close(self) -> None:
        for consumer in self._made:
            consumer.close()


TABLES = {
    "hits": "select * from hits order by site, day, hit_id",
    "ledger": "select * from ledger order by site, day",
    "ledger_left_out": "select * from ledger_left_out order by site, day, outcome, reason",
    "rollup_pending": "select site, day, batch_id, hits from rollup_pending order by batch_id, site, day",
    "dead_letters": "select site, day, dead_letter_id, entry_id, reason, error, hits, size_bytes, hit"
    " from dead_letters order by site, day, dead_letter_id",
}


def state(database: Any) -> dict[str, list[tuple[Any, ...]]]:
    """What every table holds that a second delivery must not change."""
    with database.connect() as connection:
        return {name: connection.execute(sql).fetchall() for name, sql in TABLES.items()}


def rows(database: Any, sql: str, *parameters: Any) -> list[Any]:
    """Rows; those of one column as values."""
    with database.connect() as connection:
        found = connection.execute(sql, parameters).fetchall()
    return [row[0] if len(row) == 1 else tuple(row) for row in found]


def ledger(database: Any) -> tuple[int, int, int, int]:
    """Accepted, stored, duplicate, dead-lettered over all; asserts that each row closes and tells the truth."""
    sums = [0, 0, 0, 0]
    for site, day, *numbers in rows(database, "select * from ledger"):
        accepted, stored, duplicate, dead = numbers
        assert accepted == stored + duplicate + dead, (site, day, numbers)
        assert min(numbers) >= 0
        sums = [a + b for a, b in zip(sums, numbers, strict=True)]
        assert rows(database, "select count(*) from hits where site = %s and day = %s", site, day) == [stored]
        found = rows(
            database,
            "select coalesce(sum(hits), 0)::int from dead_letters where site = %s and day = %s",
            site,
            day,
        )
        assert found == [dead]
    assert rows(database, "select count(*) from hits") == [sums[1]]
    pending = "select coalesce(sum(hits), 0)::int from rollup_pending"
    assert rows(database, pending) == [sums[1]]
    return tuple(sums)  # type: ignore[return-value]
