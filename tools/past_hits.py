"""Writes raw hits of the past to the stream, as groups that the enricher takes like a pixel's.

With their own times and days, sealed by the current hour's key, their sessions under a one-off key that lives as
long as the run (docs/decisions/0022-one-off-session-keys.md). Redis is never filled: at a bound of entries or of
memory the writer waits for the enricher.
"""

from __future__ import annotations

import datetime
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from redis.exceptions import RedisError, ResponseError

from services.hit import MAX_GROUP_BYTES, LeftOut, RawHit, encode_group, size_of
from services.hit_stream import FIELD, STREAM, entry_order
from services.sealing import SealingKeys
from services.session_keys import OneOffKeys

# The enricher takes 7,000 hits at a time: two of its batches wait, and live hits never wait behind more.
MOST_ENTRIES = 60
GROUP_HITS = 250
MOST_MEMORY_SHARE = 0.5  # of Redis's maxmemory
PAUSE_S = 0.05
STANDS_STILL_S = 90.0  # an enricher that is restarted, and its first batch on a slow machine


class CannotWrite(Exception):
    """The hits cannot be written; the text says what to do."""


class PastHits:
    """One run of a writer, as a context: at its end nothing of it is on the stream and its key is destroyed.

    ``key_name``: of a key that is alive, and under which the run goes on what an earlier one began. ``resumable``: a
    run that does not come to its end leaves its key, for the next to go on under it.
    """

    def __init__(self, client: Any, key_dir: Path, *, key_name: str = "", resumable: bool = False) -> None:
        self._redis = client
        self._keys = OneOffKeys(key_dir)
        self._sealing = SealingKeys(key_dir)
        self._pixel_id = secrets.token_bytes(16)
        self._resumable = resumable
        self.key_name = key_name
        self._seq = 0
        self._last_entry = ""
        self.hits = 0

    def __enter__(self) -> PastHits:
        self.key_name = self.key_name or self._keys.make(datetime.datetime.now(datetime.UTC))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._resumable:
            return
        try:
            self.wait_until_taken()
        except CannotWrite:
            # Left to the enricher, which destroys the key in some hours: these hits are to have their sessions.
            if kind is None:
                raise
            return
        self._keys.destroy(self.key_name)

    def wait_until_taken(self) -> None:
        """Until the enricher has taken what was written. Raises ``CannotWrite``."""
        self._wait(self._is_taken, "the rest of the hits")

    def wait_for_others(self) -> None:
        """Until the enricher has taken what is on the stream now, whoever wrote it. Raises ``CannotWrite``."""
        newest = self._redis.xrevrange(STREAM, count=1)
        self._last_entry = newest[0][0].decode() if newest else ""
        self.wait_until_taken()

    def write(self, hits: Iterable[RawHit]) -> None:
        """Put hits on the stream, waiting where it is full. Raises ``CannotWrite``."""
        for part in _in_groups(hits):
            self._put(part, [], self._pixel_id, self._next())
            self.hits += len(part)

    def write_left_out(self, parts: list[LeftOut], identity: bytes) -> None:
        """Book what was left out. Of several writings under one identity (16 bytes) the first counts."""
        if parts:
            self._put([], parts, identity, 1)

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _put(self, hits: list[RawHit], left_out: list[LeftOut], pixel_id: bytes, seq: int) -> None:
        if not self._keys.is_alive(self.key_name):
            raise CannotWrite(
                "the key of this run is destroyed, as it took too long: run it again for the rest"
            )
        self._wait(self._has_room, "room on the stream")
        data = encode_group(
            hits,
            pixel_id=pixel_id,
            seq=seq,
            key_name=self._sealing.usable_name(time.time()),
            sealer=self._sealing,
            left_out=left_out,
            hits_before=self.hits if pixel_id == self._pixel_id else None,
            one_off_key=self.key_name,
        )
        # The same group again where the answer was lost: a second copy is known by its number.
        self._wait(lambda: self._sent(data), "Redis")

    def _sent(self, data: bytes) -> bool:
        try:
            self._last_entry = self._redis.xadd(STREAM, {FIELD: data}).decode()
        except ResponseError as error:
            if not str(error).startswith(("OOM", "LOADING", "MISCONF")):
                raise
            return False
        return True

    def _has_room(self) -> bool:
        if self._redis.xlen(STREAM) >= MOST_ENTRIES:
            return False
        memory = self._redis.info("memory")
        most = memory.get("maxmemory", 0)
        return not most or bool(memory.get("used_memory", 0) < MOST_MEMORY_SHARE * most)

    def _is_taken(self) -> bool:
        oldest = self._redis.xrange(STREAM, count=1)
        return not (
            self._last_entry
            and oldest
            and entry_order(oldest[0][0].decode()) <= entry_order(self._last_entry)
        )

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        """Until done; the wait goes on for as long as entries leave the stream."""
        oldest: Any = None
        deadline = time.monotonic() + STANDS_STILL_S
        while True:
            try:
                if done():
                    return
                before, oldest = oldest, self._redis.xrange(STREAM, count=1)
                if oldest != before:
                    deadline = time.monotonic() + STANDS_STILL_S
            except ResponseError as error:
                raise CannotWrite(f"Redis refuses hits: {type(error).__name__}") from error
            except RedisError:
                pass  # away: what was sent is sent again when it is back
            if time.monotonic() > deadline:
                raise CannotWrite(
                    f"waited {STANDS_STILL_S:.0f} s for {what} and nothing moved: do Redis, enricher and "
                    "PostgreSQL run? What was written stays; run it again when they do"
                )
            time.sleep(PAUSE_S)


def _in_groups(hits: Iterable[RawHit]) -> Iterator[list[RawHit]]:
    group: list[RawHit] = []
    room = MAX_GROUP_BYTES
    for hit in hits:
        size = size_of(hit)
        if group and (len(group) >= GROUP_HITS or size > room):
            yield group
            group, room = [], MAX_GROUP_BYTES
        group.append(hit)
        room -= size
    if group:
        yield group
