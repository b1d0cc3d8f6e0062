"""A connection of the pixel: aiohttp's, with our limits, and with error answers and logs that quote nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from services.logs import Logger, place_of
from services.pixel.answers import FAILED_LINE, MALFORMED_LINE, refusal

MAX_BODY_BYTES = 64 * 1024
# Cookies of the pixel's host and long Referers must not lose a hit; nginx takes 32 KiB too.
MAX_HEADER_BYTES = 32 * 1024
KEEPALIVE_S = 75.0
LOOK_EVERY_S = 0.01

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class _Protocol(RequestHandler):
    """aiohttp's connection, with its own error answers and logs replaced: they quote input and addresses."""

    log: Logger

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
            self.log.error("request-failed", error=type(exc).__name__, place=place_of(exc) if exc else "")
            answer = refusal(503, "failed", FAILED_LINE, Retry_After="5")
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

    def __init__(self, handler: Handler, log: Logger) -> None:
        super().__init__(handler, request_factory=self._make_limited_request)
        self._protocol = type("Protocol", (_Protocol,), {"log": log})

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
        return self._protocol(
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
