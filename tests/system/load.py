"""Readers who keep coming while something is done to the pixel: what each of them met."""

from __future__ import annotations

import socket
import threading
import time
import uuid
from dataclasses import dataclass, field
from types import TracebackType

PAUSE_S = 0.01
ANSWER_WITHIN_S = 20.0
REQUEST = (
    "GET /a?id={id}&url=https%3A%2F%2Fblog.example%2F{page} HTTP/1.1\r\nHost: pixel\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n{more}\r\n"
)


@dataclass(frozen=True)
class Cut:
    """A connection that ended before its answer had come."""

    connected_at: float  # time.monotonic()
    at: float
    requests_before: int  # answered on this connection
    how: str


@dataclass
class Load:
    """Keep-alive and new connections to a port, until the block ends. A hit that was cut is sent again."""

    port: int
    keep_alive: int = 4
    new: int = 4
    answered: list[str] = field(default_factory=list)  # ids
    refused: list[str] = field(
        default_factory=list
    )  # connections that were not made, and answers that say no
    cut: list[Cut] = field(default_factory=list)
    slowest_s: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        for keeps in [True] * self.keep_alive + [False] * self.new:
            thread = threading.Thread(target=self._read_on, args=(keeps,), daemon=True)
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * ANSWER_WITHIN_S)
            assert not thread.is_alive()

    def _read_on(self, keeps: bool) -> None:
        connection: _Connection | None = None
        while not self._stop.is_set():
            hit_id = str(uuid.uuid4())
            began = time.monotonic()
            while hit_id and not (self._stop.is_set() and time.monotonic() - began > ANSWER_WITHIN_S):
                connection = connection or self._connect()
                if connection and self._ask(connection, hit_id, keeps):
                    self.answered.append(hit_id)
                    self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                    hit_id = ""
                if connection and not connection.is_open:
                    connection = None
            self._stop.wait(PAUSE_S)

    def _connect(self) -> _Connection | None:
        try:
            return _Connection(self.port)
        except OSError as error:
            self.refused.append(repr(error))
            time.sleep(PAUSE_S)
            return None

    def _ask(self, connection: _Connection, hit_id: str, keeps: bool) -> bool:
        """Whether the hit was answered well."""
        try:
            status = connection.ask(hit_id, keeps)
        except OSError as error:
            self.cut.append(Cut(connection.connected_at, time.monotonic(), connection.requests, repr(error)))
            connection.close()
            return False
        if status != "204":
            self.refused.append(status)
            time.sleep(PAUSE_S)
        return status == "204"


class _Connection:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_WITHIN_S)
        self.connected_at = time.monotonic()
        self.requests = 0
        self.is_open = True

    def ask(self, hit_id: str, keeps: bool) -> str:
        """The answer's status. Raises OSError when there is none."""
        more = "" if keeps else "Connection: close\r\n"
        self._socket.sendall(REQUEST.format(id=hit_id, page=hit_id[:2], more=more).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = self._socket.recv(4096)
            if not part:
                raise ConnectionError("closed without an answer")
            answer += part
        self.requests += 1
        if not keeps or b"\r\nconnection: close\r\n" in answer.lower():
            self.close()
        return answer.split(b" ", 2)[1].decode()

    def close(self) -> None:
        self._socket.close()
        self.is_open = False
