"""The Redis stream between pixel and enricher: names, connections, reading, claiming, acknowledging.

An entry has one field, ``g``: the bytes of a group (``services.hit``). Entries are deleted once their group
is committed to PostgreSQL, so the length of the stream is what is still to do.

redis-py repeats a command silently after a cut connection, which doubles an XADD and strands what an
XREADGROUP was sent: all connections here are made without retries, and callers repeat by a group's identity.
"""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry

from services.hit import Group, UndecodableEntry, decode_group

STREAM = "footfall:hits"
GROUP = "enricher"
FIELD = b"g"
# An entry that its reader has held this long is taken over: longer than any batch takes, shorter than
# an operator's patience. Taking over too early costs work, never a count (a group is stored once).
CLAIM_IDLE_MS = 30_000
# Of a look at what waits, every few seconds: a backlog is shown from its beginning. So many take 10 ms of CPU.
LOOK_BYTES = 4_000_000
LOOK_ENTRIES = 500
LOOK_AT_ONCE = 50


class Entry(NamedTuple):
    """One entry of the stream: its id, the bytes of its group, and the times it was handed out."""

    entry_id: str
    data: bytes
    deliveries: int


def entry_time_s(entry_id: str) -> float:
    """Unix time at which Redis took an entry."""
    return int(entry_id.split("-", maxsplit=1)[0]) / 1000


def entry_order(entry_id: str) -> tuple[int, int]:
    """What entries' ids are in order by."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)


def connect(url: str, password: str, *, timeout_s: float) -> redis.Redis:
    """A blocking client; ``timeout_s`` must be longer than any blocking read."""
    return redis.Redis.from_url(
        url,
        password=password or None,
        socket_timeout=timeout_s,
        socket_connect_timeout=1,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )


def connect_async(url: str, password: str, *, timeout_s: float) -> redis.asyncio.Redis:
    """A client for the pixel."""
    return redis.asyncio.Redis.from_url(
        url,
        password=password or None,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=redis.asyncio.retry.Retry(NoBackoff(), 0),
        health_check_interval=0,
        single_connection_client=False,
    )


def _group_of(fields: Any) -> bytes:
    """The group's bytes; empty for an entry without one (a stranger's), which then cannot be decoded."""
    if not fields:
        return b""
    data = fields.get(FIELD, b"")
    return bytes(data)


class StreamLook(NamedTuple):
    """What stood on the stream at a moment; of a long backlog the beginning."""

    groups: list[Group]
    entries: int
    entries_read: int
    oldest_s: float | None  # Unix time at which Redis took the oldest entry; None: there is none


class HitStream:
    """The reading side, for one consumer of the group."""

    def __init__(self, client: redis.Redis, consumer: str) -> None:
        self._redis: Any = client
        self.consumer = consumer
        self._claim_cursor = "0-0"
        # Entries handed to this consumer before it was restarted are read again first.
        self._own_cursor: str | None = "0-0"

    def ensure_group(self) -> None:
        """Make the consumer group from the beginning of the stream, unless it is there.

        Where it is, nothing is written: a Redis that is out of memory would refuse, and only an enricher frees it.
        """
        if self._redis.exists(STREAM) and any(
            group["name"] == GROUP.encode() for group in self._redis.xinfo_groups(STREAM)
        ):
            return
        try:
            self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def read(self, count: int, block_ms: int) -> list[Entry]:
        """Entries of an earlier run first, then new ones; empty when none came within ``block_ms``."""
        if self._own_cursor is not None:
            entries = self._read_own(count)
            if entries:
                return entries
        answer = self._redis.xreadgroup(GROUP, self.consumer, {STREAM: ">"}, count=count, block=block_ms)
        return [Entry(i.decode(), _group_of(f), 1) for i, f in self._rows(answer)]

    def _read_own(self, count: int) -> list[Entry]:
        answer = self._redis.xreadgroup(GROUP, self.consumer, {STREAM: self._own_cursor}, count=count)
        rows = self._rows(answer)
        if not rows:
            self._own_cursor = None
            return []
        self._own_cursor = rows[-1][0].decode()
        # No entry is without a field: deleted by somebody since it was read. The numbers of the groups miss it.
        gone = [entry_id for entry_id, fields in rows if not fields]
        if gone:
            self._redis.xack(STREAM, GROUP, *gone)
        return self._with_deliveries([row for row in rows if row[1]])

    def read_own_again(self) -> None:
        """Begin again with this consumer's own pending entries (after a lost answer of Redis)."""
        self._own_cursor = "0-0"

    def claim(self, count: int) -> list[Entry]:
        """Entries that another consumer has held for too long; the scan goes on where it stopped."""
        answer = self._redis.xautoclaim(
            STREAM,
            GROUP,
            self.consumer,
            min_idle_time=CLAIM_IDLE_MS,
            start_id=self._claim_cursor,
            count=count,
        )
        cursor, rows = answer[0], answer[1]
        self._claim_cursor = cursor.decode()
        return self._with_deliveries([row for row in rows if row[0] is not None])

    def _with_deliveries(self, rows: list[Any]) -> list[Entry]:
        if not rows:
            return []
        pending = self._redis.xpending_range(
            STREAM, GROUP, min=rows[0][0], max=rows[-1][0], count=100_000, consumername=self.consumer
        )
        times = {row["message_id"]: row["times_delivered"] for row in pending}
        return [Entry(i.decode(), _group_of(f), int(times.get(i, 1))) for i, f in rows]

    @staticmethod
    def _rows(answer: Any) -> list[Any]:
        return list(answer[0][1]) if answer else []

    def ack(self, entry_ids: list[str]) -> None:
        """Acknowledge and delete entries whose groups are committed, in one step."""
        with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(STREAM, GROUP, *entry_ids)
            pipeline.xdel(STREAM, *entry_ids)
            pipeline.execute()

    def oldest_entry_id(self) -> str | None:
        """Id of the oldest entry that is not yet committed; None when nothing waits."""
        rows = self._redis.xrange(STREAM, count=1)
        return rows[0][0].decode() if rows else None

    def look(self) -> StreamLook:
        """What is on the stream, the oldest first, up to ``LOOK_BYTES`` and ``LOOK_ENTRIES``."""
        groups: list[Group] = []
        entries = self.length()
        entries_read = size = 0
        start = "-"
        oldest_s: float | None = None
        while size < LOOK_BYTES and entries_read < LOOK_ENTRIES:
            rows = self._redis.xrange(STREAM, min=start, count=LOOK_AT_ONCE)
            if not rows:
                break
            if oldest_s is None:
                oldest_s = entry_time_s(rows[0][0].decode())
            for _, fields in rows:
                data = _group_of(fields)
                size += len(data) + 100
                with contextlib.suppress(UndecodableEntry):
                    groups.append(decode_group(data))
            entries_read += len(rows)
            start = f"({rows[-1][0].decode()}"
        return StreamLook(groups, max(entries, entries_read), entries_read, oldest_s)

    def length(self) -> int:
        """Entries on the stream, read or not."""
        return int(self._redis.xlen(STREAM))
