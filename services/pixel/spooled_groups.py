"""Groups that Redis does not take: into the spool, and on to the stream, in order, when Redis is back.

Their keys are held until the stream has nothing left of what came from the spool.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from services.hit import UndecodableEntry, reseal_group
from services.hit_stream import STREAM, entry_order
from services.logs import Logger, place_of
from services.pixel.redis_link import SEND_WITHIN_S, WIRE_ERRORS, RedisLink, is_cancelled
from services.pixel.spool import Spool, SpoolFull
from services.pixel.stream_writer import StreamWriter
from services.sealing import KeyHolds, SealingKeys

# In one round trip of draining: what a slow Redis, too, can take in time, else it would be sent again and again.
DRAIN_GROUPS = 100
DRAIN_BYTES = 1_000_000
DRAIN_WITHIN_S = 5.0
DRAIN_PAUSE_S = 0.25


class SpooledGroups:
    """The pixel's spool, its keys, and its way back to the stream."""

    def __init__(
        self, client: Any, link: RedisLink, sealer: SealingKeys, spool: Spool, holds: KeyHolds, log: Logger
    ) -> None:
        self._redis = client
        self._link = link
        self._sealer = sealer
        self._spool = spool
        self._holds = holds
        self._log = log
        self._writer = StreamWriter(client)  # beside that of the groups that come
        # Keys are held for what waits in the spool or came from it; perhaps since an earlier run.
        self._holding = True
        # Id of an entry behind which the stream has nothing that came from the spool.
        self._release_behind = ""
        self.disk = asyncio.Lock()  # the spool is one thread's at a time

    @property
    def are_none(self) -> bool:
        """Whether nothing waits in the spool."""
        return self._spool.is_empty

    @property
    def has_room(self) -> bool:
        """Whether the spool takes more."""
        return not self._spool.is_full

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait in the spool."""
        return self._spool.waiting_bytes

    async def put(self, data: bytes, key_name: str, days: set[str]) -> bool:
        """Whether the group is in the spool; with the disk held. Raises OSError when its keys cannot be held."""
        if days:  # else it is a beat, in which nothing is sealed
            self._holding = True
            self._holds.hold({key_name}, days)
        try:
            await asyncio.to_thread(self._spool.append, data)
        except SpoolFull:
            return False
        return True

    async def drain(self) -> None:
        """Send on what waits in the spool, whenever Redis takes it. Runs beside all else, until cancelled."""
        while not is_cancelled():
            drained = False
            try:
                drained = not self._spool.is_empty and await self._has_room() and await self._drain_some()
            except Exception as error:
                # Whatever it was: what waits must not wait until the pixel is started anew.
                self._log.error("spool-failed", error=type(error).__name__, place=place_of(error))
            if not drained:
                await asyncio.sleep(DRAIN_PAUSE_S)

    async def _has_room(self) -> bool:
        """Whether Redis has room; asked before each step, as between two looks a second apart come 50 MB."""
        if self._link.is_full:
            return False  # until the next look
        try:
            async with asyncio.timeout(SEND_WITHIN_S):
                await self._link.look()
        except (*WIRE_ERRORS, TimeoutError):
            self._link.note(is_away=True)
            return False
        return not self._link.is_full

    async def _drain_some(self) -> bool:
        """Whether the oldest groups of the spool are on the stream now."""
        async with self.disk:
            groups = self._spool.next_groups(DRAIN_GROUPS, DRAIN_BYTES)
            if self._spool.are_the_last(groups) and not self._link.is_away:
                # With the door shut: under steady traffic there would always be one more, and the file would grow
                # until it has no room.
                return await self._mark_sent(groups, await self._send(groups, SEND_WITHIN_S))
        entry_id = await self._send(groups, DRAIN_WITHIN_S)
        async with self.disk:
            return await self._mark_sent(groups, entry_id)

    async def _send(self, groups: list[bytes], within_s: float) -> str:
        return await self.send_on(self._writer, groups, within_s)

    async def send_on(
        self, writer: StreamWriter, groups: list[bytes], within_s: float = DRAIN_WITHIN_S
    ) -> str:
        """Send groups that waited in a spool; id of the last one's entry, empty when Redis does not take them."""
        return await self._link.send(writer, [self._resealed(data) for data in groups], within_s)

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

    # Its keys ------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Let the keys go once nobody needs them. Raises ``WIRE_ERRORS``."""
        if self._holding and self._is_at_rest and await self._is_enriched():
            self._let_keys_go()

    @property
    def _is_at_rest(self) -> bool:
        """Whether nothing waits in the spool, nor is on its way into it."""
        return self._spool.is_empty and not self.disk.locked()

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
