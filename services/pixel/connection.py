"""A connection of the pixel: aiohttp's, with our limits, and with error answers and logs that quote nobody.

An ordinary hit, which is nearly every request, is answered by the connection itself: aiohttp's parser reads it,
``HitTaker`` decides, and the group commit has the rendered answer written. Whatever is not ordinary goes aiohttp's
own way: a task that is woken, a request object, an answer that aiohttp builds and writes, in the same words. With
its Redis a hit took 47 µs of CPU by the first way and 89 by the other (2026-11-23, 2 busy cores; a bare aiohttp
application 28).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler

from services.logs import Logger, place_of
from services.pixel.answers import FAILED_LINE, MALFORMED_LINE, refusal
from services.pixel.fixed_answer import FixedAnswer
from services.pixel.hits import MAX_BODY_BYTES, Endpoint, HitTaker

# Cookies of the pixel's host and long Referers must not lose a hit; nginx takes 32 KiB too.
MAX_HEADER_BYTES = 32 * 1024
KEEPALIVE_S = 75.0
LOOK_EVERY_S = 0.01
UNKNOWN_PEER = "0.0.0.0"  # noqa: S104 - an address that nobody has, not one to listen on

Parsed = tuple[Sequence[tuple[RawRequestMessage, StreamReader]], bool, bytes]
NOTHING: Parsed = ((), False, b"")


class Site(Protocol):
    """What answers."""

    stopping: bool
    endpoints: dict[str, Endpoint]
    taker: HitTaker

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to a request that comes aiohttp's way."""
        ...


def peer_of(peername: Any) -> str | None:
    """The sender's address as aiohttp's ``peername`` has it; None on the tools' own socket."""
    # aiohttp: "" on a Unix socket, None when the client is gone already.
    peer = peername[0] if isinstance(peername, tuple) else peername
    return UNKNOWN_PEER if peer is None else str(peer) or None


def _is_whole(message: RawRequestMessage, body: StreamReader) -> bool:
    """Whether a POST's body is here, and nothing else is wanted for it."""
    return body.is_eof() and body.total_bytes <= MAX_BODY_BYTES and "Expect" not in message.headers


class _Sieve:
    """aiohttp's parser of a connection, which gives an ordinary hit to the connection itself, aiohttp the rest."""

    def __init__(self, parser: Any, connection: _Connection) -> None:
        self._parser = parser
        self._connection = connection
        self.message_consumed = parser.message_consumed
        self.pause_reading = parser.pause_reading
        self.feed_eof = parser.feed_eof
        self.set_upgraded = parser.set_upgraded

    def feed_data(self, data: bytes) -> Parsed:
        """What aiohttp is to answer. Raises HttpProcessingError."""
        connection = self._connection
        if connection.is_asked:
            connection.hold(data)  # answers have the order of their requests
            return NOTHING
        parsed: Parsed = self._parser.feed_data(data)
        messages, is_upgraded, _ = parsed
        if len(messages) == 1 and not is_upgraded and connection.takes(*messages[0]):
            self.message_consumed()
            return NOTHING
        return parsed


class _Connection(RequestHandler):
    """aiohttp's connection, with its own error answers and logs replaced: they quote input and addresses."""

    log: Logger
    site: Site

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._parser = _Sieve(self._parser, self)  # type: ignore[assignment]
        self.is_asked = False  # an ordinary hit waits for its answer
        self._held = b""  # what came meanwhile
        self._peer: str | None = UNKNOWN_PEER

    # Ordinary hits -------------------------------------------------------------------------------------------

    def takes(self, message: RawRequestMessage, payload: StreamReader) -> bool:
        """Whether this is an ordinary hit: whole, by HTTP/1.1, on a connection that stays. It is under way then."""
        path, _, query = message.path.partition("?")
        endpoint = self.site.endpoints.get(path)
        waiter = self._waiter
        if (
            endpoint is None
            or message.version is not HttpVersion11
            or message.should_close
            or message.upgrade
            or "#" in query
            or self.site.stopping
            # aiohttp has a request of this connection, or answers that the client has not read
            or (self._request_count if waiter is None else waiter.done())
            or self._messages
            or self._paused
        ):
            return False
        body = None
        if message.method == "POST" and not endpoint.is_image and _is_whole(message, payload):
            body = payload.read_nowait()
        elif message.method != "GET" or payload is not EMPTY_PAYLOAD:
            return False
        self._take(endpoint, query, message, body)
        return True

    def _take(self, endpoint: Endpoint, query: str, message: RawRequestMessage, body: bytes | None) -> None:
        self.is_asked = True
        # Counted from here: an answer takes less than 2 s.
        self._next_keepalive_close_time = self._loop.time() + KEEPALIVE_S
        if self._peer is UNKNOWN_PEER:
            self._peer = peer_of(self.peername)
        try:
            self.site.taker.take(endpoint, query, message.headers, body, self._peer, self.tell)
        except Exception as error:  # as aiohttp does: a fault of ours is this request's alone
            self._tell_last(FixedAnswer(self._failed(error)))

    def tell(self, answer: FixedAnswer) -> None:
        """Write the answer of the hit under way, and go on with what came meanwhile."""
        if self.site.stopping:
            return self._tell_last(answer)
        self.is_asked = False
        if self.transport is not None:
            self.transport.write(answer.render(int(time.time())))
            if self._held:
                self._go_on()
        return None

    def _tell_last(self, answer: FixedAnswer) -> None:
        if self.transport is not None:
            self.transport.write(answer.render_last(int(time.time())))
            self.transport.close()

    def hold(self, data: bytes) -> None:
        """Keep what follows a hit until that is answered; no more of it is read."""
        self._held += data
        self._pause_transport_reading()

    def _go_on(self) -> None:
        held, self._held = self._held, b""
        self.data_received(held)
        if not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()

    # aiohttp's own way ---------------------------------------------------------------------------------------

    def _failed(self, error: BaseException | None) -> web.Response:
        place = place_of(error) if error else ""
        self.log.error("request-failed", error=type(error).__name__, place=place)
        return refusal(503, "failed", FAILED_LINE, Retry_After="5")

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if isinstance(exc, HttpProcessingError) or status < 500:
            answer = refusal(400 if status != 413 else 413, "malformed", MALFORMED_LINE)
        else:
            answer = self._failed(exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer was begun already")
        answer.force_close()
        return answer

    def log_exception(self, *_: Any, **keywords: Any) -> None:
        error = keywords.get("exc_info")
        self.log.error("connection-failed", error=type(error).__name__ if error else None)

    def log_access(self, *_: Any, **__: Any) -> None:
        """There is no access log: it would hold addresses."""


class PixelServer(web.Server):
    """Makes the connections of our own kind, with our limits."""

    def __init__(self, site: Site, log: Logger) -> None:
        super().__init__(site.answer, request_factory=self._make_limited_request)
        self._connection = type("Connection", (_Connection,), {"log": log, "site": site})

    def _make_limited_request(
        self, message: RawRequestMessage, payload: Any, protocol: Any, writer: Any, task: Any
    ) -> web.BaseRequest:
        loop = self._loop
        limit = MAX_BODY_BYTES
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=limit)

    async def until_left(self, within_s: float) -> None:
        """Until no connection is open, or the time is up."""
        deadline = self._loop.time() + within_s
        while self._connections and self._loop.time() < deadline:  # noqa: ASYNC110 - aiohttp has no event for it
            await asyncio.sleep(LOOK_EVERY_S)

    def __call__(self) -> Any:
        return self._connection(
            self,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            lingering_time=2.0,
            # Unpacked where it is read, to the limit: aiohttp would unpack what nobody reads too, 60 MB of 60 KB.
            auto_decompress=False,
        )
