"""Spools of pixels that run no more: sent on, as their own pixel would, by whichever pixel finds them.

A pixel that took another's place has a slot of its own (``services.pixel.spool``). What the former one could not send
is on disk, sealed, its keys held in that pixel's name. The lock on the slot says that nobody else is at it; should
this pixel end in between, all of it is sent again by the next, and groups are known by their numbers.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

from services.hit_stream import STREAM, entry_order
from services.logs import Logger
from services.pixel.group_commit import DRAIN_BYTES, DRAIN_GROUPS, SEND_WITHIN_S, GroupCommit
from services.pixel.spool import DAMAGED_NAME, FILE_NAME, HOLDER_NAME, Spool, SpoolUnusable, slots_of
from services.sealing import KeyHolds

LOOK_EVERY_S = 2.0


def say_what_was_cut(spool: Spool, log: Logger) -> None:
    """A spool that ended in what is no whole record."""
    if spool.cut_bytes:
        log.error("spool-cut", bytes=spool.cut_bytes, kept_as=str(spool.directory / DAMAGED_NAME))


class _Left:
    """A slot that this process has taken to empty it."""

    def __init__(self, spool: Spool, holds: KeyHolds) -> None:
        self.spool = spool
        self.holds = holds
        self.behind = (
            ""  # the stream's newest entry when all was sent: what came from here is enriched with it
        )


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
        self._log = log
        self._taken: dict[Path, _Left] = {}

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait in the slots that were found."""
        return sum(left.spool.waiting_bytes for left in self._taken.values())

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except (RedisError, OSError, TimeoutError, SpoolUnusable) as error:
                self._log.warning("left-spool-waits", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    async def look(self) -> None:
        """Take what was left, and get on with it. Raises RedisError, OSError, TimeoutError, ``SpoolUnusable``."""
        for slot in slots_of(self._directory):
            if slot not in self._taken and self._has_work(slot):
                self._take(slot)
        for slot, left in list(self._taken.items()):
            if await self._is_done(left):
                left.holds.release()
                self._let_go(slot)

    def _has_work(self, slot: Path) -> bool:
        """Whether something waits there, or keys are held for what was sent from there."""
        try:
            holder = (slot / HOLDER_NAME).read_text()
            return (slot / FILE_NAME).stat().st_size > 0 or KeyHolds(self._key_dir, holder).are_any
        except FileNotFoundError:
            return False

    def _take(self, slot: Path) -> None:
        """Nothing where a pixel uses it."""
        spool = Spool.if_free(slot, self._max_bytes)
        if spool is not None:
            self._taken[slot] = _Left(spool, KeyHolds(self._key_dir, spool.holder))
            say_what_was_cut(spool, self._log)
            self._log.warning("left-spool-found", bytes=spool.waiting_bytes)

    def _let_go(self, slot: Path) -> None:
        self._taken.pop(slot).spool.close()

    async def _is_done(self, left: _Left) -> bool:
        """Send what waits, while Redis takes it; whether all is sent and enriched."""
        while groups := left.spool.next_groups(DRAIN_GROUPS, DRAIN_BYTES):
            if self._commit.spooling or not await self._commit.send_on(groups):
                return False  # later: one's own come first
            left.spool.mark_sent(groups)
        async with asyncio.timeout(SEND_WITHIN_S):
            if not left.behind:
                newest = await self._redis.xrevrange(STREAM, count=1)
                left.behind = newest[0][0].decode() if newest else ""
            oldest = await self._redis.xrange(STREAM, count=1)
        if not left.behind or not oldest:
            return True
        return entry_order(oldest[0][0].decode()) > entry_order(left.behind)
