"""A TCP proxy that does to connections what networks and dying machines do: cut, stall, half-open, slow.

Stands between a service and its Redis or PostgreSQL, for `make chaos` and for the tests of faults. It runs in a
thread of its own; every method may be called from any thread, and holds from the moment it returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Direction = Literal["request", "answer"]  # to the server; to the client
Answer = TypeVar("Answer")
READ_BYTES = 65_536
LONGEST_PATTERN = 64
# What a slow connection carries at once: small, so that a cut or a rise in speed is felt soon.
SLOW_READ_BYTES = 1_024
RESET = struct.pack("ii", 1, 0)  # closing sends RST, and what was not sent yet is gone


@dataclass
class Trap:
    """Waits for bytes of a request on any connection, acts once, on that connection alone."""

    pattern: bytes
    where: Direction  # act before the request is delivered, or once the server has answered it
    then: Literal["hold", "cut"]
    after_bytes: int = 0  # so much is delivered first, from the pattern on (or of the answer)
    after: Trap | None = None  # only on the connection on which that one acted
    connection: object = None
    reached: threading.Event = field(default_factory=threading.Event)


class _Flow:
    """One direction, of all connections."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()
        self.opened.set()
        self.bytes_per_s = 0.0  # 0: as fast as it goes
        self.latency_s = 0.0
        self.bytes_left: int | None = None  # then the connection that carries the next one is cut

    def heal(self) -> None:
        self.opened.set()
        self.bytes_per_s = self.latency_s = 0.0
        self.bytes_left = None

    async def pace(self, size: int) -> None:
        await self.opened.wait()
        pause_s = self.latency_s + (size / self.bytes_per_s if self.bytes_per_s else 0.0)
        if pause_s:
            await asyncio.sleep(pause_s)
        await self.opened.wait()


class _Cut(Exception):
    """The connection is to be reset."""


class _Connection:
    """A client's connection and ours to the server."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.writers = {"answer": client, "request": server}
        self.released = asyncio.Event()
        self.armed: dict[Direction, tuple[Trap, int]] = {}  # with the bytes that pass before it acts
        self.tail = b""  # of the last request, should a pattern come in two parts

    def reset(self) -> None:
        for writer in self.writers.values():
            _reset(writer)


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


class FaultProxy:
    """Listens on ``port`` of 127.0.0.1 and carries connections to ``target_port``."""

    def __init__(self, target_port: int) -> None:
        self._target = target_port
        self._flows: dict[Direction, _Flow] = {}
        self._connections: set[_Connection] = set()
        self._refused: set[asyncio.StreamWriter] = set()  # accepted and never connected on
        self._half_open = False
        self._traps: list[Trap] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True, name="fault-proxy")
        self._thread.start()
        self.port: int = self._ask(self._start())

    def _run(self) -> None:
        self._loop.run_forever()
        self._loop.close()

    def _ask(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    # What can be done to it -----------------------------------------------------------------------------------

    def heal(self) -> None:
        """Everything passes again; what was held goes on, what was half-open is reset, traps are taken away."""
        self._ask(self._heal())

    def cut(self) -> None:
        """Reset all connections that are there; new ones pass."""
        self._ask(self._cut())

    def stall(self, *directions: Direction) -> None:
        """Carry nothing more in these directions (both by default); connections stay up, new ones too."""
        self._ask(self._stall(directions or ("request", "answer")))

    def half_open(self) -> None:
        """Reset all connections; accept new ones, and never connect on."""
        self._ask(self._begin_half_open())

    def slow(self, bytes_per_s: float, latency_s: float = 0.0) -> None:
        """In both directions."""
        self._ask(self._slow(bytes_per_s, latency_s))

    def cut_after(self, size: int, direction: Direction) -> None:
        """Carry so many bytes more in a direction, of all connections; reset the one that has the next."""
        self._ask(self._cut_after(size, direction))

    def trap(
        self,
        pattern: bytes,
        where: Direction,
        then: Literal["hold", "cut"],
        after_bytes: int = 0,
        after: Trap | None = None,
    ) -> Trap:
        """Act on the next request that holds the pattern; ``reached`` of what is returned tells when."""
        made = Trap(pattern, where, then, after_bytes, after)
        self._ask(self._add_trap(made))
        return made

    def release(self) -> None:
        """What traps hold goes on; all else stays as it is."""
        self._ask(self._release())

    def close(self) -> None:
        """Reset all, listen no more, end the thread."""
        self._ask(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    # In the thread --------------------------------------------------------------------------------------------

    async def _start(self) -> int:
        self._flows = {"request": _Flow(), "answer": _Flow()}
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _heal(self) -> None:
        self._half_open = False
        self._traps = []
        for flow in self._flows.values():
            flow.heal()
        for connection in self._connections:
            connection.armed.clear()
        await self._release()
        for writer in self._refused:
            _reset(writer)
        self._refused.clear()

    async def _release(self) -> None:
        for connection in self._connections:
            connection.released.set()

    async def _cut(self) -> None:
        for connection in self._connections:
            connection.reset()

    async def _stall(self, directions: tuple[Direction, ...]) -> None:
        for direction in directions:
            self._flows[direction].opened.clear()

    async def _begin_half_open(self) -> None:
        self._half_open = True
        await self._cut()

    async def _slow(self, bytes_per_s: float, latency_s: float) -> None:
        for flow in self._flows.values():
            flow.bytes_per_s, flow.latency_s = bytes_per_s, latency_s

    async def _cut_after(self, size: int, direction: Direction) -> None:
        self._flows[direction].bytes_left = size

    async def _add_trap(self, trap: Trap) -> None:
        self._traps.append(trap)

    async def _close(self) -> None:
        self._server.close()
        await self._heal()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        if self._half_open:
            self._refused.add(to_client)
            return
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            _reset(to_client)
            return
        for writer in (to_client, to_server):
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = _Connection(to_client, to_server)
        self._connections.add(connection)
        try:
            await self._carry_both(from_client, from_server, connection)
        finally:
            self._connections.discard(connection)

    async def _carry_both(
        self, from_client: asyncio.StreamReader, from_server: asyncio.StreamReader, connection: _Connection
    ) -> None:
        tasks = [
            asyncio.create_task(self._carry(from_client, "request", connection)),
            asyncio.create_task(self._carry(from_server, "answer", connection)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if any(isinstance(task.exception(), _Cut | OSError) for task in done if not task.cancelled()):
                connection.reset()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for writer in connection.writers.values():
                writer.close()  # once all that was taken is sent

    async def _carry(
        self, source: asyncio.StreamReader, direction: Direction, connection: _Connection
    ) -> None:
        flow, target = self._flows[direction], connection.writers[direction]
        while data := await source.read(SLOW_READ_BYTES if flow.bytes_per_s else READ_BYTES):
            await flow.pace(len(data))
            if direction == "request":
                self._look_for_traps(data, connection)
            data = await self._spring(data, direction, connection)
            await self._deliver(data, flow, target)

    async def _deliver(self, data: bytes, flow: _Flow, target: asyncio.StreamWriter) -> None:
        if flow.bytes_left is not None:
            if len(data) > flow.bytes_left:
                target.write(data[: flow.bytes_left])
                flow.bytes_left = None
                await target.drain()
                raise _Cut
            flow.bytes_left -= len(data)
        target.write(data)
        await target.drain()

    def _look_for_traps(self, data: bytes, connection: _Connection) -> None:
        """Arm the connection whose request holds a trap's pattern, wherever the request was broken in two."""
        seen = connection.tail + data
        for trap in self._traps:
            is_here = trap.after is None or trap.after.connection is connection
            if is_here and trap.pattern in seen:
                self._traps.remove(trap)
                trap.connection = connection
                begins = max(0, seen.index(trap.pattern) - len(connection.tail))
                connection.armed[trap.where] = trap, trap.after_bytes + (begins * (trap.where == "request"))
                break
        connection.tail = seen[-LONGEST_PATTERN:]

    async def _spring(self, data: bytes, direction: Direction, connection: _Connection) -> bytes:
        """What is still to be delivered, once a trap that is due has acted and let go."""
        if direction not in connection.armed:
            return data
        trap, left = connection.armed[direction]
        if len(data) <= left:
            connection.armed[direction] = trap, left - len(data)
            return data
        del connection.armed[direction]
        target = connection.writers[direction]
        target.write(data[:left])
        await target.drain()
        trap.reached.set()
        if trap.then == "cut":
            raise _Cut
        connection.released.clear()
        await connection.released.wait()
        return data[left:]
