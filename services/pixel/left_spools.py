"""Spools of pixels that run no more: sent on, as their own pixel would, by whichever pixel finds them.

A pixel that took another's place has a slot of its own (``services.pixel.spool``). What the former one could not send
is on disk, sealed, its keys held in that pixel's name. The lock on the slot says that nobody else is at it; should
this pixel end in between, all of it is sent again by the next, and groups are known by their numbers.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from services.hit_stream import STREAM, entry_order
from services.logs import Logger, place_of
from services.pixel.group_commit import GroupCommit
from services.pixel.redis_link import SEND_WITHIN_S, is_cancelled
from services.pixel.spool import DAMAGED_NAME, FILE_NAME, HOLDER_NAME, Spool, slots_of
from services.pixel.spooled_groups import DRAIN_BYTES, DRAIN_GROUPS
from services.pixel.stream_writer import StreamWriter
from services.sealing import KeyHolds

LOOK_EVERY_S = 2.0


def say_what_was_cut(spool: Spool, log: Logger) -> None:
    """A spool that ended in what is no whole record."""
    if spool.cut_bytes:
        log.error("spool-cut", bytes=spool.cut_bytes, kept_as=str(spool.directory / DAMAGED_NAME))


class LeftSpools:
    """Looks for slots that were left, and empties them."""

    def __init__(
        self, directory: Path, max_bytes: int, key_dir: Path, commit: GroupCommit, client: Any, log: Logger
    ) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._key_dir = key_dir
        self._commit = commit
        self._redis = client
        self._writer = StreamWriter(client)  # of this one task
        self._log = log
        self._taken: dict[Path, Spool] = {}  # slots of which not all is sent
        # The stream's newest entry when all was sent: what came from there is enriched with it.
        self._behind: dict[Path, str] = {}

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait in the slots that were found."""
        return sum(spool.waiting_bytes for spool in self._taken.values())

    async def run(self) -> None:
        """Until cancelled."""
        while not is_cancelled():
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Take what was left, and get on with it."""
        for slot in slots_of(self._directory):
            try:
                await self._attend_to(slot)
            except Exception as error:  # whatever is wrong with one, the others must not wait for it
                self._log.warning(
                    "left-spool-waits", slot=str(slot), error=type(error).__name__, place=place_of(error)
                )

    async def _attend_to(self, slot: Path) -> None:
        spool = self._taken.get(slot) or await self._take(slot)
        if spool is None:
            self._behind.pop(slot, None)
        elif await self._is_sent(slot, spool):
            # Kept no longer than that: while PostgreSQL is away, pixels that are started need slots.
            try:
                if await self._is_enriched(slot):
                    KeyHolds(self._key_dir, spool.holder).release()
            finally:
                self._taken.pop(slot).close()

    def _has_work(self, slot: Path) -> bool:
        """Whether something waits there, or keys are held for what was sent from there."""
        try:
            holder = (slot / HOLDER_NAME).read_text()
            return (slot / FILE_NAME).stat().st_size > 0 or KeyHolds(self._key_dir, holder).are_any
        except FileNotFoundError:
            return False

    async def _take(self, slot: Path) -> Spool | None:
        """None where there is nothing to do, or a pixel uses it."""
        if not self._has_work(slot):
            return None
        # All of it is read, which takes seconds where it is a GB, while readers wait for their answers.
        spool = await asyncio.to_thread(Spool.if_free, slot, self._max_bytes)
        if spool is not None:
            self._taken[slot] = spool
            say_what_was_cut(spool, self._log)
            if not spool.is_empty:
                self._log.warning("left-spool-found", bytes=spool.waiting_bytes)
        return spool

    async def _is_sent(self, slot: Path, spool: Spool) -> bool:
        """Send what waits, while Redis takes it; whether all is sent."""
        while groups := spool.next_groups(DRAIN_GROUPS, DRAIN_BYTES):
            self._behind.pop(slot, None)
            if self._commit.spooling or not await self._commit.spooled.send_on(self._writer, groups):
                return False  # later: one's own come first
            await asyncio.to_thread(spool.mark_sent, groups)
        return True

    async def _is_enriched(self, slot: Path) -> bool:
        """Whether the stream has nothing left of what came from there."""
        async with asyncio.timeout(SEND_WITHIN_S):
            if slot not in self._behind:
                newest = await self._redis.xrevrange(STREAM, count=1)
                self._behind[slot] = newest[0][0].decode() if newest else "0-0"
            oldest = await self._redis.xrange(STREAM, count=1)
        return not oldest or entry_order(oldest[0][0].decode()) > entry_order(self._behind[slot])
