"""A load of so many hits a second, sent when they are due whether or not earlier ones are answered (open loop).

wrk has no rate limit, so this is a client of our own: raw HTTP over kept connections, as many as are needed.
Times are taken from time.monotonic(): uvloop's own clock stands still within a round and counts milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import NamedTuple, cast

import uvloop

from bench.load import BenchError

CONNECTIONS = 50  # open from the start; a slow moment opens more
GRACE_S = 5.0


class Answer(NamedTuple):
    """One hit; times by the monotonic clock."""

    late_s: float  # how much later than due the client sent it: its own fault, not the server's
    sent_at: float
    answered_at: float
    status: int


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = b""
        self.answered: asyncio.Future[tuple[float, int]] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes) -> asyncio.Future[tuple[float, int]]:
        """The time of the complete answer, and its status."""
        loop = asyncio.get_running_loop()
        self.answered = loop.create_future()
        if self.transport is None or self.transport.is_closing():
            self.answered.set_exception(ConnectionError("the server closed the connection"))
        else:
            self.transport.write(request)
        return self.answered

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        status = complete_status(self._buffer)
        if status is not None and self.answered is not None and not self.answered.done():
            self._buffer = b""
            self.answered.set_result((time.monotonic(), status))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.answered is not None and not self.answered.done():
            self.answered.set_exception(ConnectionError("the server closed the connection"))


def complete_status(answer: bytes) -> int | None:
    """The status of an HTTP answer once all of it is there; None before."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return None
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return int(head.split(b" ", 2)[1]) if len(body) >= length else None


class _Pacer:
    def __init__(self, port: int, requests: Iterator[bytes]) -> None:
        self._port = port
        self._requests = requests
        self._idle: list[_Connection] = []
        self.answers: list[Answer] = []

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        return connection

    async def open_all(self) -> None:
        self._idle = [await self._open() for _ in range(CONNECTIONS)]

    async def send(self, request: bytes, due_at: float) -> None:
        connection = self._idle.pop() if self._idle else await self._open()
        sent_at = time.monotonic()
        answered_at, status = await connection.send(request)
        self.answers.append(Answer(sent_at - due_at, sent_at, answered_at, status))
        self._idle.append(connection)

    async def run(self, hits_a_second: float, seconds: float) -> list[Answer]:
        """Evenly spaced hits. Raises when one has no answer."""
        await self.open_all()
        begun = time.monotonic() + 0.1
        async with asyncio.timeout(seconds + GRACE_S), asyncio.TaskGroup() as sending:
            for number in range(int(hits_a_second * seconds)):
                request, due_at = next(self._requests), begun + number / hits_a_second
                await asyncio.sleep(max(0.0, due_at - time.monotonic()))
                sending.create_task(self.send(request, due_at))
        return self.answers


async def _pace(port: int, requests: Iterator[bytes], hits_a_second: float, seconds: float) -> list[Answer]:
    return await _Pacer(port, requests).run(hits_a_second, seconds)


def pace(port: int, requests: Iterator[bytes], hits_a_second: float, seconds: float) -> list[Answer]:
    """The answers to hits sent to 127.0.0.1 at this rate. Raises ``BenchError`` when one has none."""
    try:
        return uvloop.run(_pace(port, requests, hits_a_second, seconds))
    except TimeoutError:
        raise BenchError(
            f"hits sent at {hits_a_second:.0f}/s were not answered within {GRACE_S:.0f} s"
        ) from None
    except ExceptionGroup as errors:
        raise BenchError(
            f"a hit sent at {hits_a_second:.0f}/s had no answer: {errors.exceptions[0]}"
        ) from None
