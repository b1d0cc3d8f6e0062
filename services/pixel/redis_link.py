"""The pixel's way to the stream: sends groups, and knows whether Redis takes them and has room."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import RedisError, ResponseError

from services.hit_stream import STREAM
from services.logs import Logger
from services.pixel.stream_writer import StreamWriter

# No answer takes longer than 2 s (contract section 2): a hit waits for the group in flight and for its own, each
# of which goes to the spool after this.
SEND_WITHIN_S = 0.8
RETRY_PAUSE_S = 0.05
# Of Redis's maxmemory: at the bound itself Redis would refuse the rollup's jobs too, which are tiny.
MAX_MEMORY_SHARE = 0.9
# What a broken wire to Redis raises. The last: uvloop, asked to write to a connection that was reset a moment ago.
WIRE_ERRORS = (RedisError, OSError, RuntimeError)


def is_cancelled() -> bool:
    """Whether the running task was told to end.

    To be asked by what goes on after ``WIRE_ERRORS``: cancelled while it closes a connection that was reset, a task
    gets the connection's error in the place of ``CancelledError``, and would run for ever.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class RedisLink:
    """What a pixel knows of its Redis. One for each run of the pixel."""

    def __init__(self, client: Any, log: Logger, max_stream_entries: int) -> None:
        self._redis = client
        self._log = log
        self._max_stream_entries = max_stream_entries
        self._loop = asyncio.get_running_loop()
        self.is_away = False  # whether the last command failed
        self.is_full = False

    async def send(self, writer: StreamWriter, groups: list[bytes], within_s: float) -> str:
        """Id of the last group's entry once Redis has all on disk; empty when it does not take them in time.

        Tries again for a moment, as after a restart of Redis.
        """
        deadline = self._loop.time() + within_s
        entry_id = ""
        while not entry_id:
            try:
                async with asyncio.timeout_at(deadline):
                    entry_id = await writer.add(groups)
            except TimeoutError:
                break
            except WIRE_ERRORS as error:
                self._log.warning("redis-failed", error=type(error).__name__)
                if self._loop.time() + RETRY_PAUSE_S > deadline:
                    break
                await asyncio.sleep(RETRY_PAUSE_S)
        self.note(is_away=not entry_id)
        return entry_id

    def note(self, *, is_away: bool) -> None:
        """Keep in mind whether Redis takes groups."""
        if is_away != self.is_away:
            self.is_away = is_away
            self._log.warning("redis-away" if is_away else "redis-back")

    async def look(self) -> None:
        """Ask Redis how much waits on the stream, and whether it has room for more. Raises ``WIRE_ERRORS``."""
        length = await self._redis.xlen(STREAM)
        self._note_room(length, *await self._memory())

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
        if is_full != self.is_full:
            self.is_full = is_full
            self._log.error(
                "stream-full" if is_full else "stream-has-room", entries=entries, used_bytes=used_bytes
            )
