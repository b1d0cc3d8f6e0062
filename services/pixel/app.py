"""The pixel over HTTP: endpoints, statuses and headers of contract section 2.

A low-level aiohttp server with a table of routes: every answer, also to bytes that are no HTTP, is made here.
No answer quotes what was sent, and nothing that was sent reaches a log.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from multidict import CIMultiDict

from services.logs import Logger, place_of
from services.metrics import PixelMetrics
from services.pixel import pages
from services.pixel.client_address import ClientAddress
from services.pixel.collect import (
    Accepted,
    Collector,
    Excluded,
    Headers,
    body_parameters,
    is_owner,
    query_parameters,
)
from services.pixel.fixed_answer import FixedAnswer, fits
from services.pixel.group_commit import GroupCommit
from services.pixel.rate_limit import RateLimit
from services.settings import Settings

VERSION = "0.1.0"
GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b")
MAX_QUERY_BYTES = 8_000
MAX_BODY_BYTES = 64 * 1024
# Cookies of the pixel's host and long Referers must not lose a hit; nginx takes 32 KiB too.
MAX_HEADER_BYTES = 32 * 1024
BODY_WITHIN_S = 1.5  # no answer takes longer than 2 s
KEEPALIVE_S = 75.0
UNKNOWN_PEER = "0.0.0.0"  # noqa: S104 - an address that nobody has, not one to listen on

# One fixed line for each error: what to change, never what was sent.
URL_LINE = "The page's address is missing or wrong: send url=https://... or a Referer header.\n"
ID_LINE = "The id is no UUID: send one as 8-4-4-4-12 hexadecimal digits, or none.\n"
QUERY_LINE = "The query is longer than 8,000 bytes: send the parameters by POST.\n"
BODY_LINE = "The body is longer than 64 KiB: send less.\n"
SLOW_LINE = "The body did not arrive in time: send it at once.\n"
RATE_LINE = "Too many hits from this client: send again later.\n"
UNAVAILABLE_LINE = "The hit cannot be stored now: send it again later.\n"
METHOD_LINE = "This address does not take this method: see the Allow header.\n"
NOT_FOUND_LINE = "There is nothing here.\n"
ORIGIN_LINE = "This Origin is none of the sites that are counted.\n"
MALFORMED_LINE = "This is no HTTP request.\n"
FAILED_LINE = "The request could not be answered: send it again later.\n"
SAME_ORIGIN_LINE = "Send this form from its own page.\n"

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def text_answer(status: int, line: str, **headers: str) -> web.Response:
    """A fixed line of plain text."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return _answer(status, line.encode(), "text/plain; charset=utf-8", extra)


def _answer(status: int, body: bytes, content_type: str, extra: dict[str, str]) -> web.Response:
    headers: CIMultiDict[str] = CIMultiDict(
        {"Server": "footfall", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    )
    if body:
        headers["Content-Type"] = content_type
    headers.update(extra)
    return web.Response(status=status, body=body or None, headers=headers)


def page_answer(html: str) -> web.Response:
    """A page for people."""
    headers = {"Server": "footfall", **pages.page_headers()}
    return web.Response(body=html.encode(), headers=headers)


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
            answer = text_answer(400 if status != 413 else 413, MALFORMED_LINE)
        else:
            self.log.error("request-failed", error=type(exc).__name__, place=place_of(exc) if exc else "")
            answer = text_answer(503, FAILED_LINE, Retry_After="5")
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
        limit = MAX_BODY_BYTES + 1
        return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=limit)

    def __call__(self) -> Any:
        return self._protocol(
            self,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            lingering_time=2.0,
        )


def _headers_of(request: web.BaseRequest) -> Headers:
    headers = request.headers
    return Headers(
        referer=headers.get("Referer", ""),
        user_agent=headers.get("User-Agent", ""),
        accept_language=headers.get("Accept-Language", ""),
        cookie=headers.get("Cookie", ""),
        purpose=headers.get("Sec-Purpose", ""),
        privacy_signal=headers.get("Sec-GPC") == "1" or headers.get("DNT") == "1",
    )


class Pixel:
    """Answers requests. Built once by ``__main__`` from its parts."""

    def __init__(
        self,
        settings: Settings,
        collector: Collector,
        commit: GroupCommit,
        client_address: ClientAddress,
        rate_limit: RateLimit,
        metrics: PixelMetrics,
        day_of: Callable[[int], str],
    ) -> None:
        self._collector = collector
        self._commit = commit
        self._client_address = client_address
        self._rate_limit = rate_limit
        self._metrics = metrics
        self._day_of = day_of
        self.stopping = False
        tracker = pages.tracker_source()
        home, privacy = pages.home_page(settings), pages.privacy_page(settings)
        script = {"Cache-Control": "public, max-age=3600", "Cross-Origin-Resource-Policy": "cross-origin"}
        self._accepted = {
            path: FixedAnswer(self._done(path, {"X-Footfall": "accepted"})) for path in ("/a", "/a.gif")
        }
        self._fixed: dict[str, Callable[[], web.Response]] = {
            "/a.js": lambda: _answer(200, tracker, "text/javascript; charset=utf-8", script),
            "/": lambda: page_answer(home),
            "/privacy/": lambda: page_answer(privacy),
            "/robots.txt": lambda: text_answer(200, "User-agent: *\nDisallow: /\n"),
            "/livez": lambda: text_answer(200, "alive\n"),
            "/readyz": self._readyz,
            "/version": lambda: text_answer(200, f"footfall {VERSION}\n"),
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to any request."""
        path = request.path
        if path in ("/a", "/a.gif"):
            return await self._answer_hit(request, path)
        if path == "/me":
            return await self._answer_me(request)
        fixed = self._fixed.get(path)
        if fixed is None:
            return text_answer(404, NOT_FOUND_LINE)
        if request.method not in ("GET", "HEAD"):
            return text_answer(405, METHOD_LINE, Allow="GET, HEAD")
        return fixed()

    def _readyz(self) -> web.Response:
        if self.stopping:
            return text_answer(503, "stopping\n", Retry_After="5")
        degraded = ", ".join(self._commit.degraded())
        if not self._commit.durable:
            return text_answer(503, f"not ready; degraded: {degraded or 'keys'}\n", Retry_After="5")
        return text_answer(200, f"ready; degraded: {degraded}\n" if degraded else "ready\n")

    # The pixel itself ---------------------------------------------------------------------------------------

    async def _answer_hit(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        method = request.method
        allowed = "GET, HEAD, OPTIONS" if path == "/a.gif" else "GET, HEAD, POST, OPTIONS"
        origin = request.headers.get("Origin")
        cors = self._cors(origin) if origin else {}
        if method == "OPTIONS":
            answer = self._answer_preflight(allowed, cors)
        elif method not in allowed.split(", "):
            answer = text_answer(405, METHOD_LINE, Allow=allowed)
        elif method == "HEAD":
            answer = self._done(path, {})
        else:
            taken = await self._take(request, path, cors)
            if isinstance(taken, FixedAnswer):
                return taken
            answer = taken
        if cors and "Access-Control-Allow-Origin" not in answer.headers:
            answer.headers.update(cors)
        return answer

    def _cors(self, origin: str) -> dict[str, str]:
        if not self._collector.allows_origin(origin):
            return {"Vary": "Origin"}
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": "X-Footfall",
            "Vary": "Origin",
        }

    @staticmethod
    def _answer_preflight(allowed: str, cors: dict[str, str]) -> web.Response:
        if "Access-Control-Allow-Origin" not in cors:
            return text_answer(403, ORIGIN_LINE)
        methods = {"Access-Control-Allow-Methods": allowed, "Access-Control-Allow-Headers": "Content-Type",
                   "Access-Control-Max-Age": "86400"}  # fmt: skip
        return _answer(204, b"", "", {**cors, **methods})

    @staticmethod
    def _done(path: str, headers: dict[str, str]) -> web.Response:
        # Pages under COEP: require-corp take only what says so.
        headers = {"Cross-Origin-Resource-Policy": "cross-origin", **headers}
        return _answer(204, b"", "", headers) if path == "/a" else _answer(200, GIF, "image/gif", headers)

    async def _take(
        self, request: web.BaseRequest, path: str, cors: dict[str, str]
    ) -> web.Response | FixedAnswer:
        now_us = time.time_ns() // 1_000
        query = request.rel_url.raw_query_string
        if len(query) > MAX_QUERY_BYTES:
            return self._refuse(414, "query", QUERY_LINE, now_us)
        parameters = query_parameters(query) if query else {}
        if request.method == "POST":
            try:
                body = await self._body(request)
            except TimeoutError:
                return self._refuse(408, "body", SLOW_LINE, now_us)
            if body is None:
                return self._refuse(413, "body", BODY_LINE, now_us)
            parameters.update(body_parameters(body))
        peer, address = self._who(request)
        outcome = self._collector.collect(parameters, _headers_of(request), address, now_us)
        if isinstance(outcome, Accepted):
            if peer is not None and not self._rate_limit.allows(address):
                wait = str(self._rate_limit.retry_after_s())
                return self._refuse(429, "rate-limit", RATE_LINE, now_us, outcome.hit.site, Retry_After=wait)
            return await self._accept(request, outcome, path, cors, now_us)
        if isinstance(outcome, Excluded):
            self._leave_out(outcome.site, "excluded", outcome.reason, now_us)
            return self._done(path, {"X-Footfall": f"excluded; reason={outcome.reason}", **cors})
        line = ID_LINE if outcome.reason == "id" else URL_LINE
        return self._refuse(400, outcome.reason, line, now_us, outcome.site)

    def _who(self, request: web.BaseRequest) -> tuple[str | None, str]:
        """The peer (None on the tools' own socket) and the client's address."""
        # aiohttp: the peer's address, "" on a Unix socket, None when the client is gone already.
        peer = UNKNOWN_PEER if request.remote is None else request.remote or None
        values = request.headers.getall(self._client_address.header, [])
        return peer, self._client_address.of(peer, values)

    @staticmethod
    async def _body(request: web.BaseRequest) -> bytes | None:
        """The body; None when it is too long. Raises TimeoutError."""
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return None
        if request.transport and request.headers.get("Expect", "").lower() == "100-continue":
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            return None
        except (web.PayloadAccessError, web.RequestPayloadError, HttpProcessingError, ConnectionError):
            return b""  # cut off or wrongly encoded: there are no parameters in it

    async def _accept(
        self, request: web.BaseRequest, outcome: Accepted, path: str, cors: dict[str, str], now_us: int
    ) -> web.Response | FixedAnswer:
        durable = self._commit.submit(outcome.hit)
        if durable is None:
            return self._refuse(503, "too-many", UNAVAILABLE_LINE, now_us, outcome.hit.site, Retry_After="5")
        if not await durable:  # counted by the group itself
            return text_answer(503, UNAVAILABLE_LINE, Retry_After="5")
        if not cors and not outcome.dropped and fits(request):
            return self._accepted[path]
        dropped = f"; dropped={','.join(outcome.dropped)}" if outcome.dropped else ""
        return self._done(path, {"X-Footfall": f"accepted{dropped}", **cors})

    def _leave_out(self, site: str, kind: str, reason: str, now_us: int) -> None:
        self._metrics.requests.labels(kind, reason).inc()
        self._commit.leave_out(site, self._day_of(now_us), kind, reason)

    def _refuse(
        self, status: int, reason: str, line: str, now_us: int, site: str = "", **headers: str
    ) -> web.Response:
        self._leave_out(site, "refused", reason, now_us)
        return text_answer(status, line, X_Footfall=f"refused; reason={reason}", **headers)

    # The owner's cookie --------------------------------------------------------------------------------------

    async def _answer_me(self, request: web.BaseRequest) -> web.Response:
        is_me = is_owner(request.headers.get("Cookie", ""))
        if request.method in ("GET", "HEAD"):
            return page_answer(pages.me_page(is_me))
        if request.method != "POST":
            return text_answer(405, METHOD_LINE, Allow="GET, HEAD, POST")
        if not _same_origin(request):
            return text_answer(HTTPStatus.FORBIDDEN, SAME_ORIGIN_LINE)
        secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
        # Browsers take SameSite=None only with Secure; on plain HTTP (this machine) the default must do.
        same_site = "SameSite=None; Secure" if secure else "SameSite=Lax"
        life = "Max-Age=0" if is_me else "Max-Age=34560000"
        cookie = f"isMe={'' if is_me else 'true'}; Path=/; {life}; HttpOnly; {same_site}"
        return _answer(303, b"", "", {"Location": "/me", "Set-Cookie": cookie})


def _same_origin(request: web.BaseRequest) -> bool:
    """Whether a form was sent from the pixel's own page; browsers name the Origin of every POST."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        return False
    origin = request.headers.get("Origin")
    if origin is None:
        return site == "same-origin"
    try:
        return urlsplit(origin).netloc.lower() == request.headers.get("Host", "").lower() != ""
    except ValueError:
        return False
