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

from redis.exceptions import RedisError, ResponseError

from services.hit import (
    MAX_GROUP_BYTES,
    MAX_GROUP_HITS,
    Alive,
    LeftOut,
    RawHit,
    UndecodableEntry,
    encode_group,
    reseal_group,
    size_of,
)
from services.hit_stream import STREAM, entry_order
from services.logs import Logger, place_of
from services.pixel.signs import Signs
from services.pixel.spool import Spool, SpoolFull
from services.pixel.stream_writer import StreamWriter
from services.sealing import KeyHolds, SealingKeys

# No answer takes longer than 2 s (contract section 2): a hit waits for the group in flight and for its own, each
# of which goes to the spool after this.
SEND_WITHIN_S = 0.8
# Behind more than one group, as before a Redis that is slow and not away: what has waited so long goes to the spool,
# which takes what is queued in a moment and sends it on in large steps.
QUEUE_WITHIN_S = 0.5
# Whatever the disk does: 503 then. Should the group be on disk all the same, it counts.
ANSWER_WITHIN_S = 1.7
RETRY_PAUSE_S = 0.05
# Between two groups of the spool: hits that come together share one. At 1,000 hits/s and a fast disk groups had 2,
# and the enricher, to which an entry costs more than a hit, made 4,656 rows/s of the backlog.
SPOOL_APART_S = 0.01
# In one round trip of draining: what a slow Redis, too, can take in time, else it would be sent again and again.
DRAIN_GROUPS = 100
DRAIN_BYTES = 1_000_000
DRAIN_WITHIN_S = 5.0
DRAIN_PAUSE_S = 0.25
# At 10,000 hits/s this is what gathers in 1 s; beyond it new hits are refused at once.
MAX_WAITING_HITS = 10_000
LEFT_OUT_EVERY_S = 1.0
# Of Redis's maxmemory: at the bound itself Redis would refuse the rollup's jobs too, which are tiny.
MAX_MEMORY_SHARE = 0.9
# What a broken wire to Redis raises. The last: uvloop, asked to write to a connection that was reset a moment ago.
WIRE_ERRORS = (RedisError, OSError, RuntimeError)
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
        self._redis = client
        self._writer = StreamWriter(client)
        self._sealer = sealer
        self._spool = spool
        self._holds = holds
        # Keys are held for what waits in the spool or came from it; perhaps since an earlier run.
        self._holding = True
        # Id of an entry behind which the stream has nothing that came from the spool.
        self._release_behind = ""
        self._disk = asyncio.Lock()  # the spool is one thread's at a time
        self._log = log
        self._max_stream_entries = max_stream_entries
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
        self.redis_away = False  # whether the last command to Redis failed
        self.stream_full = False
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
        while not (self._stopping and not self._queue):
            if not self._queue:
                await self._sleep(next_left_out - self._loop.time() if self._left_out else None)
            now = self._loop.time()
            if self._queue:
                await self._commit(self._queue.pop(0))
                if self.spooling and not self._stopping:
                    await asyncio.sleep(SPOOL_APART_S)
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
        return self.redis_away or self.stream_full or not self._spool.is_empty

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
            if not (is_late or self.spooling) and await self._send([data], SEND_WITHIN_S):
                return True
            async with self._disk:
                if is_late or self.spooling:  # else it was drained while this group waited
                    return await self._put_in_spool(data, key_name, {hit.day for hit in group.hits})

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

    async def _send(self, groups: list[bytes], within_s: float) -> str:
        """Id of the last group's entry once Redis has all on disk; empty when it does not take them in time.

        Tries again for a moment, as after a restart of Redis.
        """
        deadline = self._loop.time() + within_s
        entry_id = ""
        while not entry_id:
            try:
                async with asyncio.timeout_at(deadline):
                    entry_id = await self._writer.add(groups)
            except TimeoutError:
                break
            except WIRE_ERRORS as error:
                self._log.warning("redis-failed", error=type(error).__name__)
                if self._loop.time() + RETRY_PAUSE_S > deadline:
                    break
                await asyncio.sleep(RETRY_PAUSE_S)
        self._note_redis(away=not entry_id)
        return entry_id

    def _note_redis(self, *, away: bool) -> None:
        if away != self.redis_away:
            self.redis_away = away
            self._log.warning("redis-away" if away else "redis-back", spool_bytes=self._spool.waiting_bytes)

    # The spool -----------------------------------------------------------------------------------------------

    async def _put_in_spool(self, data: bytes, key_name: str, days: set[str]) -> bool:
        """Whether the group is in the spool. Raises OSError when its keys cannot be held."""
        if days:  # else it is a beat, in which nothing is sealed
            self._holding = True
            self._holds.hold({key_name}, days)
        try:
            await asyncio.to_thread(self._spool.append, data)
        except SpoolFull:
            return False
        return True

    async def drain(self) -> None:
        """Send on what waits in the spool, whenever Redis takes it. Runs beside ``run``, until cancelled."""
        while True:
            drained = False
            try:
                drained = not self._spool.is_empty and not self.stream_full and await self._drain_some()
            except (
                Exception
            ) as error:  # whatever it was: what waits must not wait until the pixel is started anew
                self._log.error("spool-failed", error=type(error).__name__, place=place_of(error))
            if not drained:
                await asyncio.sleep(DRAIN_PAUSE_S)

    async def _drain_some(self) -> bool:
        """Whether the oldest groups of the spool are on the stream now."""
        async with self._disk:
            groups = self._spool.next_groups(DRAIN_GROUPS, DRAIN_BYTES)
            if self._spool.are_the_last(groups) and not self.redis_away:
                # With the door shut: under steady traffic there would always be one more, and the file would grow
                # until it has no room.
                return await self._mark_sent(groups, await self.send_on(groups, SEND_WITHIN_S))
        entry_id = await self.send_on(groups)
        async with self._disk:
            return await self._mark_sent(groups, entry_id)

    async def send_on(self, groups: list[bytes], within_s: float = DRAIN_WITHIN_S) -> str:
        """Send groups that waited in a spool; id of the last one's entry, empty when Redis does not take them."""
        return await self._send([self._resealed(data) for data in groups], within_s)

    async def _mark_sent(self, groups: list[bytes], entry_id: str) -> bool:
        if not entry_id:
            return False
        await asyncio.to_thread(self._spool.mark_sent, groups)  # it may have a large file to empty
        if self._spool.is_empty:
            self._release_behind = entry_id
            self._log.info("spool-drained")
        return True

    def _resealed(self, data: bytes) -> bytes:
        """The group under the key of this hour; as it is when its own key is gone: then it is buried, counted."""
        try:
            return reseal_group(data, self._sealer.usable_name(time.time()), self._sealer)
        except UndecodableEntry as error:
            self._log.error("spooled-group-unreadable", reason=error.reason)
            return data

    async def look(self) -> None:
        """Ask Redis how much waits on the stream: keeps the state true while no hit comes."""
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                length = await self._redis.xlen(STREAM)
                used_bytes, most_bytes = await self._memory()
                if self._holding and self._is_at_rest and await self._is_enriched():
                    self._let_keys_go()
        except (*WIRE_ERRORS, TimeoutError):
            self._note_redis(away=True)
            return
        if self._spool.is_empty:
            self._note_redis(away=False)  # else draining tells: a Redis that reads may still refuse to write
        self._note_room(length, used_bytes, most_bytes)
        if not self._spool.is_full:
            self.durable = True

    async def _memory(self) -> tuple[int, int]:
        """Bytes that Redis uses and may use; 0: unknown, as where a managed server does not tell."""
        try:
            memory = await self._redis.info("memory")
        except ResponseError:
            return 0, 0
        return memory.get("used_memory", 0), memory.get("maxmemory", 0)

    def _note_room(self, entries: int, used_bytes: int, most_bytes: int) -> None:
        """Keep in mind whether Redis has room for more; ``most_bytes`` 0: it takes what the machine has."""
        is_full = entries >= self._max_stream_entries or 0 < most_bytes * MAX_MEMORY_SHARE <= used_bytes
        if is_full != self.stream_full:
            self.stream_full = is_full
            self._log.error(
                "stream-full" if is_full else "stream-has-room", entries=entries, used_bytes=used_bytes
            )

    @property
    def _is_at_rest(self) -> bool:
        """Whether nothing waits in the spool, nor is on its way into it."""
        return self._spool.is_empty and not self._disk.locked()

    async def _is_enriched(self) -> bool:
        """Whether the stream has nothing left of what came from the spool."""
        if not self._release_behind:  # an earlier run sent it, or nothing was
            newest = await self._redis.xrevrange(STREAM, count=1)
            self._release_behind = self._release_behind or (newest[0][0].decode() if newest else "0-0")
        behind = self._release_behind
        oldest = await self._redis.xrange(STREAM, count=1)
        is_enriched = not oldest or entry_order(oldest[0][0].decode()) > entry_order(behind)
        # Meanwhile another group may have come the same way.
        return is_enriched and behind == self._release_behind and self._is_at_rest

    def _let_keys_go(self) -> None:
        try:
            self._holds.release()
        except OSError as error:  # KEY_DIR is not ours; tried again
            self._log.error("keys-held", error=type(error).__name__, reason=error.strerror or str(error))
            return
        self._holding, self._release_behind = False, ""

    @property
    def spool_bytes(self) -> int:
        """Bytes that wait in the spool."""
        return self._spool.waiting_bytes

    def degraded(self) -> list[str]:
        """The parts that are not well, while hits are still taken."""
        parts = {
            "redis": self.redis_away,
            "stream is full": self.stream_full,
            "spool": not self._spool.is_empty,
        }
        return [name for name, is_so in parts.items() if is_so]
