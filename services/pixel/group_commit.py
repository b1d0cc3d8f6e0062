"""Makes hits durable together: while one group is on its way to Redis, the next one gathers.

One group in flight and no timer: under load groups grow by themselves, in quiet a hit leaves at once
(a linger of 1 to 2 ms was worse in every figure measured). A request is answered when its group is on disk.

A group is known by (pixel_id, seq). When Redis does not answer, the same group is sent again until its time
is up: should it then be on the stream twice, the enricher counts it once. A group that was given up was
answered 503; its number travels with the next group, so that the ledger knows it and a late copy is not counted.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from typing import Any

from redis.exceptions import RedisError

from services.hit import MAX_GROUP_BYTES, MAX_GROUP_HITS, LeftOut, RawHit, Sealer, encode_group
from services.hit_stream import FIELD, STREAM
from services.logs import Logger
from services.sealing import hour_name

# No answer takes longer than 2 s (contract section 2), counted from the first hit of a group.
GIVE_UP_AFTER_S = 1.8
RETRY_PAUSE_S = 0.05
# At 10,000 hits/s this is what gathers in 1 s; beyond it new hits are refused at once.
MAX_WAITING_HITS = 10_000
LEFT_OUT_EVERY_S = 1.0
MAX_ABANDONED = 10_000  # an outage of five hours; more only makes a late copy count after all
# Of msgpack around the texts of a hit: at most 312 with 30 properties, the longest address, language and screen.
HIT_OVERHEAD_BYTES = 320


class _Gathering:
    """The group that is being filled; its requests wait for one shared answer."""

    __slots__ = ("bytes", "deadline", "done", "hits")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.hits: list[RawHit] = []
        self.bytes = 0
        self.done: asyncio.Future[bool] = loop.create_future()
        self.deadline = loop.time() + GIVE_UP_AFTER_S

    def is_full_for(self, size: int) -> bool:
        return len(self.hits) >= MAX_GROUP_HITS or self.bytes + size > MAX_GROUP_BYTES


def _size_of(hit: RawHit) -> int:
    """At least the bytes of the hit in a group: a character has up to 4."""
    characters = len(hit.url) + len(hit.title) + len(hit.referrer) + len(hit.user_agent) + len(hit.event)
    characters += len(hit.site)
    props = sum(len(name) + len(str(value)) for name, value in (hit.props or {}).items())
    return HIT_OVERHEAD_BYTES + 4 * (characters + props)


class GroupCommit:
    """Takes hits, answers whether they are durable. One for each run of the pixel."""

    def __init__(self, client: Any, sealer: Sealer, log: Logger, max_stream_entries: int) -> None:
        self._redis = client
        self._sealer = sealer
        self._log = log
        self._max_stream_entries = max_stream_entries
        self._loop = asyncio.get_running_loop()
        self._pixel_id = uuid.uuid4().bytes
        self._seq = 0
        self._abandoned: list[int] = []
        self._queue: list[_Gathering] = []
        self._waiting_hits = 0
        self._left_out: Counter[tuple[str, str, str, str]] = Counter()
        self._wake = asyncio.Event()
        self._stopping = False
        self.durable = True  # whether the last group, or the last look at Redis, went well
        self.full = False
        self.groups = 0
        self.hits = 0

    def submit(self, hit: RawHit) -> asyncio.Future[bool] | None:
        """The shared answer for this hit's group; None when too many wait already, or we are stopping."""
        if self._waiting_hits >= MAX_WAITING_HITS or self.full or self._stopping:
            return None
        size = _size_of(hit)
        if not self._queue or self._queue[-1].is_full_for(size):
            self._queue.append(_Gathering(self._loop))
        group = self._queue[-1]
        group.hits.append(hit)
        group.bytes += size
        self._waiting_hits += 1
        self._wake.set()
        return group.done

    def leave_out(self, site: str, day: str, outcome: str, reason: str) -> None:
        """Count a request that was excluded or refused; it travels with a group within a second."""
        if len(self._left_out) > 1_000 and (site, day, outcome, reason) not in self._left_out:
            site = ""  # under SITES=* strangers choose the sites
        self._left_out[site, day, outcome, reason] += 1

    async def run(self) -> None:
        """Send groups until ``stop``; then what still waits."""
        next_left_out = self._loop.time() + LEFT_OUT_EVERY_S
        while not (self._stopping and not self._queue):
            if not self._queue:
                await self._sleep(next_left_out - self._loop.time() if self._left_out else None)
            now = self._loop.time()
            if self._queue:
                await self._commit(self._queue.pop(0))
            elif self._left_out and now >= next_left_out:
                next_left_out = now + LEFT_OUT_EVERY_S
                await self._commit(_Gathering(self._loop))
        if self._left_out:
            await self._commit(_Gathering(self._loop))

    async def _sleep(self, seconds: float | None) -> None:
        self._wake.clear()
        if self._stopping:
            return
        try:
            async with asyncio.timeout(LEFT_OUT_EVERY_S if seconds is None else max(seconds, 0.001)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def stop(self) -> None:
        """No further hits will come: let ``run`` end."""
        self._stopping = True
        self._wake.set()

    async def _commit(self, group: _Gathering) -> None:
        left_out, self._left_out = self._left_out, Counter()
        seq = self._seq = self._seq + 1
        sent = False
        try:
            data = self._encode(group.hits, seq, left_out)
            sent = await self._send(data, group.deadline)
        except OSError as error:  # no key can be made: KEY_DIR is full, gone, or not ours
            self._log.error("no-sealing-key", error=type(error).__name__, reason=error.strerror or str(error))
        finally:
            self._waiting_hits -= len(group.hits)
            if sent:
                self._abandoned.clear()
                self.groups += 1
                self.hits += len(group.hits)
            else:
                self._abandoned = [*self._abandoned[-MAX_ABANDONED:], seq]
                self._left_out.update(left_out)
                for hit in group.hits:
                    self.leave_out(hit.site, hit.day, "refused", "not-durable")
            if sent != self.durable:
                self._log.warning("durable" if sent else "not-durable", waiting=self._waiting_hits)
            self.durable = sent
            if not group.done.done():
                group.done.set_result(sent)

    def _encode(self, hits: list[RawHit], seq: int, left_out: Counter[tuple[str, str, str, str]]) -> bytes:
        return encode_group(
            hits,
            pixel_id=self._pixel_id,
            seq=seq,
            key_name=hour_name(time.time()),
            sealer=self._sealer,
            left_out=[LeftOut(*key, number) for key, number in left_out.items()],
            abandoned=self._abandoned,
        )

    async def _send(self, data: bytes, deadline: float) -> bool:
        """Whether Redis has the group on disk; tries again until the time is up."""
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    await self._redis.execute_command("XADD", STREAM, "*", FIELD, data)
                return True
            except TimeoutError:
                return False
            except (RedisError, OSError) as error:
                self._log.warning("redis-failed", error=type(error).__name__)
            if self._loop.time() + RETRY_PAUSE_S > deadline:
                return False
            await asyncio.sleep(RETRY_PAUSE_S)

    async def look(self) -> None:
        """Ask Redis how long the stream is: keeps ``durable`` and ``full`` true while no hit comes."""
        try:
            async with asyncio.timeout(GIVE_UP_AFTER_S):
                length = await self._redis.xlen(STREAM)
        except (RedisError, OSError, TimeoutError):
            self.durable = False
            return
        if (length >= self._max_stream_entries) != self.full:
            self.full = not self.full
            self._log.error("stream-full" if self.full else "stream-has-room", entries=length)
        if not self._queue and not self._waiting_hits:
            self.durable = True
