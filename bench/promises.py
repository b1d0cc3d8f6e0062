"""What two promises cost a hit: addresses sealed on their way, and a ledger that accounts for every hit."""

from __future__ import annotations

import datetime
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg

from bench.cpu import own_cpu_s
from services.enricher.batch import Work
from services.enricher.store import Store
from services.hit import (
    PAGEVIEW,
    VERSION,
    Accepted,
    Group,
    Hit,
    RawHit,
    Sealer,
    decode_group,
    encode_group,
    open_group,
)
from services.hit_stream import Entry
from services.sealing import SealingKeys, hour_name

# What a group holds while the pixel is saturated, and the groups of one transaction of the enricher.
GROUP_HITS = 20
BATCH_GROUPS = 200
BATCHES = 40
SITE = "ledger.example"


class InClear:
    """No seal: what the pixel would write without the promise."""

    def seal(self, key_name: str, plain: bytes, context: bytes) -> bytes:
        return plain

    def unseal(self, key_name: str, sealed: bytes, context: bytes) -> bytes | None:
        return sealed


def _carry(hits: list[RawHit], size: int, key_name: str, sealer: Sealer) -> float:
    """Seconds of CPU to put hits into groups and to take them out again."""
    pixel_id = uuid.uuid4().bytes
    began = time.process_time()
    for start in range(0, len(hits), size):
        group = hits[start : start + size]
        data = encode_group(group, pixel_id=pixel_id, seq=start + 1, key_name=key_name, sealer=sealer)
        open_group(decode_group(data), sealer)
    return time.process_time() - began


def sealing_us(hits: list[RawHit], size: int = GROUP_HITS) -> float:
    """Microseconds of CPU that sealing and unsealing add to a hit, in groups of so many."""
    key_name = hour_name(time.time())
    with tempfile.TemporaryDirectory() as folder:
        sealer = SealingKeys(Path(folder))
        _carry(hits[:1_000], size, key_name, sealer)  # the key is made, caches are warm
        sealed = _carry(hits, size, key_name, sealer)
    return (sealed - _carry(hits, size, key_name, InClear())) / len(hits) * 1e6


def _batches(day: datetime.date, groups: int) -> Iterator[list[Work]]:
    """Transactions that claim and book so many groups, and store one hit each."""
    pixel_id = uuid.uuid4().bytes
    accepted = [Accepted(SITE, day.isoformat(), GROUP_HITS)]
    for batch in range(BATCHES):
        works = []
        for number in range(1, groups + 1):
            group = Group(VERSION, pixel_id, batch * groups + number, "2026010100", accepted, [], [], b"")
            works.append(Work(Entry(f"{batch}-{number}", b"", 1), group))
        works[0].hits = [_hit(day)]
        yield works


def _hit(day: datetime.date) -> Hit:
    values: dict[str, Any] = dict.fromkeys(Hit.__struct_fields__)
    values |= {
        "hit_id": uuid.uuid4().bytes, "received_at_us": time.time_ns() // 1_000, "day": day, "site": SITE,
        "host": SITE, "path": "/", "channel": "Direct", "is_bot": False, "is_me": False, "event": PAGEVIEW,
    }  # fmt: skip
    return Hit(**values)


def _cpu_s(backend: int) -> float:
    return own_cpu_s(backend) + time.process_time()


def ledger_us(connect: Callable[[], psycopg.Connection[Any]]) -> float:
    """Microseconds of CPU, of this process and its backend, that a hit's place in the ledger costs.

    Its group is claimed (which makes it count once) and its site and day are booked; the hit's own row is not in it.
    """
    spent = {}
    with connect() as connection:
        store = Store(connection)
        day = datetime.datetime.now(datetime.UTC).date()
        for groups in (1, BATCH_GROUPS):
            batches = list(_batches(day, groups))
            before = _cpu_s(connection.info.backend_pid)
            for works in batches:
                store.write(works)
            spent[groups] = _cpu_s(connection.info.backend_pid) - before
    hits = BATCHES * (BATCH_GROUPS - 1) * GROUP_HITS
    return (spent[BATCH_GROUPS] - spent[1]) / hits * 1e6
