"""Makes hits durable together: while one group is on its way to Redis, the next one gathers.

One group in flight and no timer: under load groups grow by themselves, in quiet a hit leaves at once
(a linger of 1 to 2 ms was worse in every figure measured). A request is answered when its group is on disk: in
Redis, or, while Redis does not take it, in the spool, which is sent on in order when Redis is back.

A group is known by (pixel_id, seq). When Redis does not answer in time nobody knows whether it has the group: the
same group goes to the spool, and should it then be on the stream twice, the enricher counts it once. Only when the
spool has no room is a group given up and answered 503; its number travels with the next group, so that the ledger
knows it and a copy that turns up after that is not counted.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from services.hit import MAX_GROUP_BYTES, MAX_GROUP_HITS, Alive, LeftOut, RawHit, encode_group, size_of
from services.logs import Logger, place_of
from services.pixel.redis_link import SEND_WITHIN_S, WIRE_ERRORS, RedisLink, is_cancelled
from services.pixel.signs import Signs
from services.pixel.spool import Spool
from services.pixel.spooled_groups import SpooledGroups
from services.pixel.stream_writer import StreamWriter
from services.sealing import KeyHolds, SealingKeys

# Behind more than one group, as before a Redis that is slow and not away: what has waited so long goes to the spool,
# which takes what is queued in a moment and sends it on in large steps.
QUEUE_WITHIN_S = 0.5
# Whatever the disk does: 503 then. Should the group be on disk all the same, it counts.
ANSWER_WITHIN_S = 1.7
# Between two groups of the spool: hits that come together share one. At 1,000 hits/s and a fast disk groups had 2,
# and the enricher, to which an entry costs more than a hit, made 4,656 rows/s of the backlog.
SPOOL_APART_S = 0.01
# At 10,000 hits/s this is what gathers in 1 s; beyond it new hits are refused at once.
MAX_WAITING_HITS = 10_000
LEFT_OUT_EVERY_S = 1.0
MAX_ABANDONED = 10_000  # an outage of five hours; more only makes a late copy count after all

# Is told whether a hit is on disk.
Told = Callable[[bool], None]


class _Gathering:
    """The group that is being filled, and who is to be told whether it is on disk."""

    __slots__ = ("_late", "began_s", "bytes", "hits", "is_answered", "told")

    def __init__(self, loop: asyncio.AbstractEventLoop, late: Callable[[_Gathering], None]) -> None:
        self.hits: list[RawHit] = []
        self.bytes = 0
        self.told: list[Told] = []
        self.is_answered = False
        self.began_s = loop.time()
        self._late = loop.call_later(ANSWER_WITHIN_S, late, self)

    def has_room_for(self, size: int) -> bool:
        return (
            len(self.hits) < MAX_GROUP_HITS and self.bytes + size <= MAX_GROUP_BYTES and not self.is_answered
        )

    def answer(self, stored: bool, log: Logger) -> None:
        """Let those who wait know, unless they were told already."""
        self._late.cancel()
        if self.is_answered:
            return
        self.is_answered = True
        for told in self.told:
            try:
                told(stored)
            except Exception as error:  # one connection's trouble: the others wait for the same answer
                log.error("answer-failed", error=type(error).__name__, place=place_of(error))


class GroupCommit:
    """Takes hits, answers whether they are durable. One for each run of the pixel."""

    def __init__(
        self,
        client: Any,
        sealer: SealingKeys,
        spool: Spool,
        holds: KeyHolds,
        log: Logger,
        max_stream_entries: int,
    ) -> None:
        self._writer = StreamWriter(client)
        self.link = RedisLink(client, log, max_stream_entries)
        self.spooled = SpooledGroups(client, self.link, sealer, spool, holds, log)
        self._sealer = sealer
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._pixel_id = uuid.uuid4().bytes
        self._seq = 0
        self._signs = Signs()
        self._abandoned: list[int] = []
        self._queue: list[_Gathering] = []
        self._waiting_hits = 0
        self._left_out: Counter[tuple[str, str, str, str]] = Counter()
        self._wake = asyncio.Event()
        self._stopping = False
        self.durable = True  # whether the last group was made durable, in Redis or in the spool
        self.groups = 0
        self.hits = 0

    def submit(self, hit: RawHit, told: Told) -> bool:
        """Have ``told`` called once: whether the hit is on disk. False: too many wait already, or we are stopping."""
        if self._waiting_hits >= MAX_WAITING_HITS or self._stopping:
            return False
        size = size_of(hit)
        if not self._queue or not self._queue[-1].has_room_for(size):
            self._queue.append(_Gathering(self._loop, self._answer_late))
        group = self._queue[-1]
        group.hits.append(hit)
        group.told.append(told)
        group.bytes += size
        self._waiting_hits += 1
        self._wake.set()
        return True

    def leave_out(self, site: str, day: str, outcome: str, reason: str) -> None:
        """Count a request that was excluded or refused; it travels with a group within a second."""
        if len(self._left_out) > 1_000 and (site, day, outcome, reason) not in self._left_out:
            site = ""  # under SITES=* strangers choose the sites
        self._left_out[site, day, outcome, reason] += 1

    async def run(self) -> None:
        """Send groups until ``stop``; then what still waits."""
        next_left_out = self._loop.time() + LEFT_OUT_EVERY_S
        while not ((self._stopping and not self._queue) or is_cancelled()):
            if not self._queue:
                await self._sleep(next_left_out - self._loop.time() if self._left_out else None)
            now = self._loop.time()
            if self._queue:
                await self._commit(self._queue.pop(0))
                # Once around the loop: some of those who were answered have asked again, and come along. With 64
                # connections groups had 41 hits instead of 31, and Redis took 4 µs a hit instead of 6.
                await asyncio.sleep(SPOOL_APART_S if self.spooling and not self._stopping else 0)
            elif self._signs.beat_is_due:
                await self._commit(_Gathering(self._loop, self._answer_late))
            elif self._left_out and now >= next_left_out:
                next_left_out = now + LEFT_OUT_EVERY_S
                await self._commit_left_out()
        if self._left_out:
            await self._commit_left_out()

    async def _commit_left_out(self) -> None:
        """Send the counters alone, in a group without hits. They are not promised: none is put into the spool."""
        if not self.spooling:
            await self._commit(_Gathering(self._loop, self._answer_late))

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

    @property
    def spooling(self) -> bool:
        """Whether groups go to the spool: Redis does not take them, or older ones wait there."""
        return self.link.is_away or self.link.is_full or not self.spooled.are_none

    async def _commit(self, group: _Gathering) -> None:
        left_out, self._left_out = self._left_out, Counter()
        seq = self._seq = self._seq + 1
        alive = self._signs.for_group()
        stored = False
        try:
            if not group.is_answered:  # else all were told that it cannot be made durable
                stored = await self._store(group, seq, left_out, alive)
        except OSError as error:  # no key can be made: KEY_DIR is full, gone, or not ours
            self._log.error("no-sealing-key", error=type(error).__name__, reason=error.strerror or str(error))
        except Exception as error:  # whatever one group did: the next requests must not wait for ever
            self._log.error("group-failed", error=type(error).__name__, place=place_of(error))
        finally:
            self._settle(group, seq, left_out, stored)
            if stored and alive:
                self._signs.became_durable(alive)

    async def _store(
        self, group: _Gathering, seq: int, left_out: Counter[tuple[str, str, str, str]], alive: Alive | None
    ) -> bool:
        """Whether the group is on disk, in Redis or in the spool."""
        is_late = self._loop.time() - group.began_s > QUEUE_WITHIN_S
        key_name = self._sealer.usable_name(time.time())
        data = self._encode(group.hits, seq, key_name, left_out, alive)
        while True:
            if not (is_late or self.spooling) and await self.link.send(self._writer, [data], SEND_WITHIN_S):
                return True
            async with self.spooled.disk:
                if is_late or self.spooling:  # else it was drained while this group waited
                    return await self.spooled.put(data, key_name, {hit.day for hit in group.hits})

    def _settle(
        self, group: _Gathering, seq: int, left_out: Counter[tuple[str, str, str, str]], stored: bool
    ) -> None:
        """Count, and answer those who wait."""
        self._waiting_hits -= len(group.hits)
        if stored:
            self._abandoned = []
            self.groups += 1
            self.hits += len(group.hits)
        else:
            self._abandoned = [*self._abandoned[-MAX_ABANDONED:], seq]
            self._left_out.update(left_out)
            for hit in group.hits:
                self.leave_out(hit.site, hit.day, "refused", "not-durable")
        if group.hits and stored != self.durable:
            self._log.warning("durable" if stored else "not-durable", waiting=self._waiting_hits)
            self.durable = stored
        group.answer(stored, self._log)

    def _answer_late(self, group: _Gathering) -> None:
        """Not durable in time, as far as anybody knows: should it be after all, a retry with its id counts once."""
        self._log.warning("answered-late", hits=len(group.hits), waiting=self._waiting_hits)
        group.answer(stored=False, log=self._log)

    def _encode(
        self,
        hits: list[RawHit],
        seq: int,
        key_name: str,
        left_out: Counter[tuple[str, str, str, str]],
        alive: Alive | None,
    ) -> bytes:
        return encode_group(
            hits,
            pixel_id=self._pixel_id,
            seq=seq,
            key_name=key_name,
            sealer=self._sealer,
            left_out=[LeftOut(*key, number) for key, number in left_out.items()],
            abandoned=self._abandoned,
            hits_before=self.hits,
            alive=alive,
        )

    async def look(self) -> None:
        """Ask Redis how much waits on the stream: keeps the state true while no hit comes."""
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await self.link.look()
                await self.spooled.look()
        except (*WIRE_ERRORS, TimeoutError):
            self.link.note(is_away=True)
            return
        if self.spooled.are_none:
            self.link.note(is_away=False)  # else draining tells: a Redis that reads may still refuse to write
        if self.spooled.has_room:
            self.durable = True

    def degraded(self) -> list[str]:
        """The parts that are not well, while hits are still taken."""
        parts = {
            "redis": self.link.is_away,
            "stream is full": self.link.is_full,
            "spool": not self.spooled.are_none,
        }
        return [name for name, is_so in parts.items() if is_so]
