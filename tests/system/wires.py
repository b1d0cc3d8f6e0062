"""Sends bytes over many connections at once and reads what is answered, as little as HTTP asks for."""

from __future__ import annotations

import collections
import contextlib
import re
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

CONNECT_WITHIN_S = 5.0
# A sender that was not answered is waited for until after the pixel's own 2 s.
LISTEN_S = 2.5
# What an answered sender hears after that: answers on one connection follow each other at once.
LINGER_S = 0.3
SWEEP_EVERY_S = 0.05
MOST_OPEN = 400
_HEAD = re.compile(rb"HTTP/([0-9]\.[0-9]) ([0-9]{3}) [^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")


class Answer(NamedTuple):
    """One answer; names of headers are lower case."""

    status: int
    headers: list[tuple[str, bytes]]
    body: bytes
    stays: bool  # the connection goes on

    def header(self, name: str) -> bytes | None:
        """The first value of a header."""
        return next((value for known, value in self.headers if known == name), None)


def read_answer(data: bytes, method: str, closed: bool) -> tuple[Answer, int] | None:
    """The first answer in ``data`` and its length; None while it is not whole. Raises ValueError: no HTTP."""
    match = _HEAD.match(data)
    if match is None:
        if b"\r\n\r\n" in data or (closed and data):
            raise ValueError("no HTTP")
        return None
    lines = (line.partition(b":") for line in match[3].split(b"\r\n") if line)
    headers = [(name.decode("latin-1").lower(), value.strip()) for name, _, value in lines]
    stays = match[1] == b"1.1" and ("connection", b"close") not in headers
    answer = Answer(int(match[2]), headers, b"", stays)
    rest = data[match.end() :]
    length = answer.header("content-length")
    # The answer to HEAD has a length and no body, but for one that was no HTTP; where the method was altered, what
    # follows tells.
    is_head = not rest and (method == "HEAD" or (not method and closed))
    if answer.status < 200 or answer.status in (204, 304) or is_head or rest.startswith(b"HTTP/"):
        size = 0
    elif length is not None:
        size = int(length)
    elif closed:
        size = len(rest)
    else:
        return None
    if len(rest) < size:
        if closed:
            raise ValueError("an answer that is cut off")
        return None
    return answer._replace(body=rest[:size]), match.end() + size


@dataclass(eq=False)
class Talk:
    """Bytes that were sent on one connection, and what came back."""

    data: bytes
    method: str  # of the first request; empty: unknown
    is_soon: bool  # an answer must come, and is waited for
    keeps: bool  # the connection is used again
    cut: bool = False  # hang up at once
    tag: object = None  # the sender's own
    wire: socket.socket | None = None
    received: bytes = b""
    closed: bool = False
    sent_at: float = 0.0
    answered_s: float | None = None  # until the first answer was whole
    answers: list[Answer] = field(default_factory=list)
    trouble: str = ""
    _read: int = 0

    def take_in(self, part: bytes, now: float) -> None:
        """Read on; interim answers (1xx) are left out."""
        self.received += part
        self.closed = self.closed or not part
        try:
            while found := read_answer(self.received[self._read :], self._next_method(), self.closed):
                self._read += found[1]
                if found[0].status >= 200:
                    self.answers.append(found[0])
                    if self.answered_s is None:
                        self.answered_s = now - self.sent_at
        except ValueError as error:
            self.trouble = str(error)

    def _next_method(self) -> str:
        return self.method if not self.answers else ""

    @property
    def ended_silently(self) -> bool:
        """Whether the other side closed a connection that its last answer left open."""
        return self.closed and bool(self.answers) and self.answers[-1].stays

    def until(self) -> float:
        """When nothing more is expected."""
        if self.answered_s is None or not self.method:
            return self.sent_at + LISTEN_S
        return self.sent_at + self.answered_s + LINGER_S


class Wires:
    """Connections to one port. ``exchange`` hands back what is finished."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: collections.deque[socket.socket] = collections.deque()  # the longest idle first
        self._open = selectors.DefaultSelector()
        self._talks: set[Talk] = set()
        self._next_sweep = 0.0
        self.connections = 0
        self.silently_closed = 0  # kept connections that the other side closed without a word

    def exchange(self, talks: Iterable[Talk]) -> Iterator[Talk]:
        """Send all at once; wait for the answers that come soon; everything that is finished by then.

        Talks that nobody waits for are finished by a later call, or by ``finish``.
        """
        awaited = set()
        for talk in talks:
            if not self._send(talk):
                yield talk
            elif talk.is_soon:
                awaited.add(talk)
        while awaited or len(self._talks) > MOST_OPEN:
            yield from self._listen(0.05)
            awaited = {talk for talk in awaited if talk in self._talks and not talk.answers}
        yield from self._listen(0)

    def finish(self) -> Iterator[Talk]:
        """Wait for all that are open."""
        while self._talks:
            yield from self._listen(0.05)
        for wire in self._idle:
            wire.close()
        self._idle.clear()

    def _send(self, talk: Talk) -> bool:
        """Whether there is something to wait for."""
        talk.wire = wire = self._kept() if talk.keeps else self._connect()
        talk.sent_at = time.monotonic()
        with contextlib.suppress(ConnectionError, TimeoutError):
            wire.sendall(talk.data)
        if talk.cut:
            if len(talk.data) % 2:  # a reset, not a goodbye
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            wire.close()
            return False
        self._open.register(wire, selectors.EVENT_READ, talk)
        self._talks.add(talk)
        return True

    def _connect(self) -> socket.socket:
        self.connections += 1
        wire = socket.create_connection(("127.0.0.1", self._port), timeout=CONNECT_WITHIN_S)
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return wire

    def _kept(self) -> socket.socket:
        while self._idle:
            wire = self._idle.popleft()
            wire.setblocking(False)
            try:
                unasked = wire.recv(1_000)
            except BlockingIOError:
                wire.settimeout(CONNECT_WITHIN_S)
                return wire
            except ConnectionError:
                unasked = b""
            wire.close()
            assert not unasked, f"an answer that nobody asked for: {unasked!r}"
            self.silently_closed += 1
        return self._connect()

    def _listen(self, seconds: float) -> list[Talk]:
        """Read what has come; the talks that are over."""
        over = []
        for key, _ in self._open.select(seconds):
            talk: Talk = key.data
            assert talk.wire is not None
            try:
                part = talk.wire.recv(262_144)
            except (ConnectionError, TimeoutError):
                part = b""
            talk.take_in(part, time.monotonic())
            if talk.closed or talk.trouble or (talk.keeps and talk.answers):
                over.append(talk)
        now = time.monotonic()
        if now >= self._next_sweep:  # not each time: there are hundreds
            self._next_sweep = now + SWEEP_EVERY_S
            over += [talk for talk in self._talks if now > talk.until() and talk not in over]
        for talk in over:
            self._end(talk)
        return over

    def _end(self, talk: Talk) -> None:
        assert talk.wire is not None
        self._talks.discard(talk)
        self._open.unregister(talk.wire)
        if talk.keeps and not talk.closed and not talk.trouble and talk.answers and talk.answers[-1].stays:
            self._idle.append(talk.wire)
        else:
            talk.wire.close()
