"""Hits at a steady rate, each with an id of its own, and what became of every single one.

An open loop: a hit is sent when it is due, whether or not earlier ones are answered, over kept connections.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
import uuid
from collections import Counter, deque
from typing import Literal, cast
from urllib.parse import urlencode

SITES = tuple(f"site-{number}.example" for number in range(5))
PAGES = 60
# As many sessions as a site has: a refresh looks at all hits of each that it meets.
VISITORS = 20_000
AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
)
POISON_EVENT = "chaos-poison"  # a hit that a constraint refuses for a while
REPEATED_SHARE = 0.03  # sent again with the same id, though answered
RETRIED_SHARE = 0.5  # of those that were not answered: a sender that tries again
AGAIN_WITHIN_S = 20.0
POST_SHARE = 0.2
# Longer than any answer may take; a pixel that is stopped answers later than that.
GIVE_UP_S = 15.0
LOOK_EVERY_S = 0.5

Outcome = Literal["under way", "accepted", "refused", "unanswered", "unsent"]


class Sending:
    """One request. Times by the wall clock, as the pixel's are."""

    __slots__ = ("answered_at", "hit_id", "is_poison", "outcome", "sent_at", "site")

    def __init__(self, hit_id: uuid.UUID, site: str, is_poison: bool) -> None:
        self.hit_id = hit_id
        self.site = site
        self.is_poison = is_poison
        self.sent_at = time.time()
        self.answered_at = 0.0
        self.outcome: Outcome = "under way"

    def end(self, outcome: Outcome) -> None:
        if self.outcome == "under way":
            self.answered_at = time.time()
            self.outcome = outcome


class _Connection(asyncio.Protocol):
    """One request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self.sending: Sending | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, sending: Sending) -> None:
        self.sending = sending
        sending.sent_at = time.time()
        if self.transport is None:
            self._end("unanswered")
        else:
            self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end or len(body) < _length_of(head) or self.sending is None:
            return
        self._buffer = b""
        accepted = head[9:12] in (b"200", b"204") and b"X-Footfall: accepted" in head
        if not accepted:
            self._load.refusals[head.split(b"\r\n")[0].decode()] += 1
        self._end("accepted" if accepted else "refused")
        if b"connection: close" not in head.lower():
            self._load.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._end("unanswered")

    def _end(self, outcome: Outcome) -> None:
        sending, self.sending = self.sending, None
        if sending is not None:
            sending.end(outcome)
            self._load.ended(sending)


def _length_of(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class Load:
    """Runs in a thread of its own from ``start`` to ``stop``."""

    def __init__(self, port: int, rate: float, seed: int) -> None:
        self._port = port
        self._rate = rate
        self._dice = random.Random(f"load {seed}")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)
        self._again: deque[tuple[float, Sending]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()
        self._open: set[_Connection] = set()
        self.idle: list[_Connection] = []
        self.sent: list[Sending] = []
        self.counts: Counter[Outcome] = Counter()
        self.refusals: Counter[str] = Counter()  # by status line
        self.newest_accepted: Sending | None = None
        self._poison = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send nothing more; returns when every hit is answered or given up."""
        self._stopping.set()
        self._thread.join()

    def send_poison(self) -> None:
        """Let the next hit be one that is marked."""
        self._poison += 1

    def ended(self, sending: Sending) -> None:
        """Count it, and perhaps send it again."""
        self.counts[sending.outcome] += 1
        if sending.outcome == "accepted":
            self.newest_accepted = sending
        share = REPEATED_SHARE if sending.outcome == "accepted" else RETRIED_SHARE
        if self._dice.random() < share:
            due = time.monotonic() + self._dice.uniform(0, AGAIN_WITHIN_S)
            self._again.append((due, sending))

    async def _run(self) -> None:
        begun, number = time.monotonic(), 0
        looked = begun
        while not self._stopping.is_set():
            number += 1
            await asyncio.sleep(max(0.0, begun + number / self._rate - time.monotonic()))
            self._spawn(self._next())
            if time.monotonic() - looked > LOOK_EVERY_S:
                looked = time.monotonic()
                self._give_up()
        deadline = time.monotonic() + GIVE_UP_S + 1
        while self.sent and time.monotonic() < deadline and (self._under_way or self._waiting()):
            await asyncio.sleep(0.05)
            self._give_up()
        for connection in [*self._open]:
            if connection.transport is not None:
                connection.transport.abort()
        await asyncio.sleep(0.05)

    def _waiting(self) -> bool:
        return any(connection.sending is not None for connection in self._open)

    def _spawn(self, sending: Sending) -> None:
        self.sent.append(sending)
        if self._stopping.is_set():
            return
        while self.idle:
            connection = self.idle.pop()
            if connection.transport is not None and not connection.transport.is_closing():
                connection.send(self._request(sending), sending)
                return
        task = asyncio.create_task(self._send_on_a_new_one(sending))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _send_on_a_new_one(self, sending: Sending) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(GIVE_UP_S):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self), "127.0.0.1", self._port
                )
        except (OSError, TimeoutError):
            sending.end("unsent")
            self.ended(sending)
            return
        self._open.add(connection)
        connection.send(self._request(sending), sending)

    def _next(self) -> Sending:
        if self._again and self._again[0][0] < time.monotonic():
            former = self._again.popleft()[1]
            return Sending(former.hit_id, former.site, former.is_poison)
        is_poison = self._poison > 0
        self._poison -= is_poison
        identity = uuid.UUID(int=self._dice.getrandbits(128), version=4)
        return Sending(identity, self._dice.choice(SITES), is_poison)

    def _request(self, sending: Sending) -> bytes:
        visitor = self._dice.randrange(VISITORS)
        parameters = {
            "id": str(sending.hit_id),
            "url": f"https://{sending.site}/page/{self._dice.randrange(PAGES)}",
            "title": "A page",
            "referrer": self._dice.choice(("", "https://news.ycombinator.com/", "https://www.google.com/")),
        }
        if sending.is_poison:
            parameters["event"] = POISON_EVENT
        address = f"198.18.{visitor // 250}.{visitor % 250}"
        who = f"User-Agent: {AGENTS[visitor % len(AGENTS)]}\r\nX-Forwarded-For: {address}\r\n"
        if self._dice.random() >= POST_SHARE:
            return f"GET /a.gif?{urlencode(parameters)} HTTP/1.1\r\nHost: x\r\n{who}\r\n".encode()
        body = json.dumps(parameters)
        return f"POST /a HTTP/1.1\r\nHost: x\r\n{who}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def _give_up(self) -> None:
        """On answers that do not come; and forget connections that are closed."""
        oldest = time.time() - GIVE_UP_S
        for connection in [*self._open]:
            if connection.transport is None:
                self._open.discard(connection)
            elif connection.sending is not None and connection.sending.sent_at < oldest:
                connection.transport.abort()
