"""The pixel over HTTP: endpoints, statuses and headers of contract section 2.

A low-level aiohttp server with a table of routes: every answer, also to bytes that are no HTTP, is made here or in
``connection``. No answer quotes what was sent, and nothing that was sent reaches a log.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from services.metrics import PixelMetrics
from services.pixel import answers, pages
from services.pixel.answers import page_answer, pixel_answer, refusal, text_answer
from services.pixel.borrowed import BorrowedSocket
from services.pixel.client_address import ClientAddress
from services.pixel.collect import (
    Accepted,
    Collector,
    Excluded,
    Headers,
    is_owner,
)
from services.pixel.connection import MAX_BODY_BYTES, Handler
from services.pixel.fixed_answer import FixedAnswer, fits
from services.pixel.group_commit import GroupCommit
from services.pixel.parameters import body_parameters, query_parameters, unpacked
from services.pixel.rate_limit import RateLimit
from services.settings import DEFAULT_ENDPOINT_NAME, DEFAULT_SCRIPT_NAME, Settings

VERSION = "0.1.0"
MAX_QUERY_BYTES = 8_000
BODY_WITHIN_S = 1.5  # no answer takes longer than 2 s
UNKNOWN_PEER = "0.0.0.0"  # noqa: S104 - an address that nobody has, not one to listen on
IMAGE_METHODS = "GET, HEAD, OPTIONS"
METHODS = "GET, HEAD, POST, OPTIONS"


class _Endpoint(NamedTuple):
    """An address that takes hits."""

    is_image: bool
    accepted: FixedAnswer

    @property
    def methods(self) -> str:
        return IMAGE_METHODS if self.is_image else METHODS

    def done(self, outcome: str, cors: dict[str, str]) -> web.Response:
        """The answer to a hit that is counted, or excluded on purpose."""
        return pixel_answer(is_image=self.is_image, outcome=outcome, extra=cors)


def _endpoint(is_image: bool) -> _Endpoint:
    return _Endpoint(is_image, FixedAnswer(pixel_answer(is_image=is_image, outcome="accepted", extra={})))


def _headers_of(request: web.BaseRequest) -> Headers:
    headers = request.headers
    return Headers(
        referer=headers.get("Referer", ""),
        user_agent=headers.get("User-Agent", ""),
        accept_language=headers.get("Accept-Language", ""),
        cookie=headers.get("Cookie", ""),
        purpose=headers.get("Sec-Purpose", "") + headers.get("Purpose", "") + headers.get("X-Moz", ""),
        privacy_signal=headers.get("Sec-GPC") == "1" or headers.get("DNT") == "1",
    )


def _script_answer(name: str) -> Handler:
    """The tracker, compressed once."""
    plain = pages.tracker_source(name)
    packed = gzip.compress(plain, mtime=0)
    headers = {"Cache-Control": "public, max-age=3600", "Cross-Origin-Resource-Policy": "cross-origin",
               "Vary": "Accept-Encoding"}  # fmt: skip

    async def script(request: web.BaseRequest) -> web.Response:
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            encoded = {**headers, "Content-Encoding": "gzip"}
            return answers.answer(200, packed, "text/javascript; charset=utf-8", encoded)
        return answers.answer(200, plain, "text/javascript; charset=utf-8", headers)

    return script


def _always(make: Callable[[], web.Response]) -> Handler:
    async def handler(_: web.BaseRequest) -> web.Response:
        return make()

    return handler


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
        self.borrowed: BorrowedSocket | None = None  # where readers come by the door
        # Names that the owner chose answer beside the usual ones, which stand on pages already.
        names = {DEFAULT_ENDPOINT_NAME, settings.endpoint_name}
        nothing, image = _endpoint(is_image=False), _endpoint(is_image=True)
        self._endpoints = {f"/{n}": nothing for n in names} | {f"/{n}.gif": image for n in names}
        script = _script_answer(settings.endpoint_name)
        home, privacy = pages.home_page(settings), pages.privacy_page(settings)
        self._fixed: dict[str, Handler] = {
            f"/{DEFAULT_SCRIPT_NAME}": script,
            f"/{settings.script_name}": script,
            "/": _always(lambda: page_answer(home)),
            "/privacy/": _always(lambda: page_answer(privacy)),
            "/privacy": _always(lambda: answers.answer(308, b"", "", {"Location": "/privacy/"})),
            "/me/": _always(lambda: answers.answer(308, b"", "", {"Location": "/me"})),
            "/robots.txt": _always(lambda: text_answer(200, "User-agent: *\nDisallow: /\n")),
            "/livez": _always(lambda: text_answer(200, "alive\n")),
            "/readyz": _always(self._readyz),
            "/version": _always(lambda: text_answer(200, f"footfall {VERSION}\n")),
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to any request; the last one of its connection when the pixel stops."""
        answer = await self._answer(request)
        if self.stopping and not isinstance(answer, FixedAnswer):
            answer.force_close()
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        endpoint = self._endpoints.get(path)
        if endpoint is not None:
            return await self._answer_hit(request, endpoint)
        if path == "/me":
            return await self._answer_me(request)
        fixed = self._fixed.get(path)
        if fixed is None:
            return text_answer(404, answers.NOT_FOUND_LINE)
        if request.method not in ("GET", "HEAD"):
            return text_answer(405, answers.METHOD_LINE, Allow="GET, HEAD")
        return await fixed(request)

    def _readyz(self) -> web.Response:
        if self.stopping:
            return text_answer(503, "stopping\n", Retry_After="5")
        is_cut_off = self.borrowed is not None and not self.borrowed.is_held
        degraded = ", ".join([*self._commit.degraded(), *(["door"] if is_cut_off else [])])
        if not self._commit.durable:
            return text_answer(503, f"not ready; degraded: {degraded or 'keys'}\n", Retry_After="5")
        return text_answer(200, f"ready; degraded: {degraded}\n" if degraded else "ready\n")

    # The pixel itself ---------------------------------------------------------------------------------------

    async def _answer_hit(self, request: web.BaseRequest, endpoint: _Endpoint) -> web.StreamResponse:
        method = request.method
        origin = request.headers.get("Origin")
        cors = self._cors(origin) if origin else {}
        if method == "GET" or (method == "POST" and not endpoint.is_image):
            taken = await self._take(request, endpoint, cors)
            if isinstance(taken, FixedAnswer):
                return taken
            answer = taken
        elif method == "OPTIONS":
            answer = self._answer_options(endpoint, cors, is_preflight=origin is not None)
        elif method == "HEAD":
            answer = endpoint.done("excluded; reason=head", {})
        else:
            answer = refusal(405, "method", answers.METHOD_LINE, Allow=endpoint.methods)
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
    def _answer_options(endpoint: _Endpoint, cors: dict[str, str], *, is_preflight: bool) -> web.Response:
        outcome = {"X-Footfall": "excluded; reason=preflight"}
        if not is_preflight:
            return answers.answer(204, b"", "", {**outcome, "Allow": endpoint.methods})
        if "Access-Control-Allow-Origin" not in cors:
            return refusal(403, "origin", answers.ORIGIN_LINE)
        methods = {"Access-Control-Allow-Methods": endpoint.methods,
                   "Access-Control-Allow-Headers": "Content-Type",
                   "Access-Control-Max-Age": "86400"}  # fmt: skip
        return answers.answer(204, b"", "", {**outcome, **methods})

    async def _take(
        self, request: web.BaseRequest, endpoint: _Endpoint, cors: dict[str, str]
    ) -> web.Response | FixedAnswer:
        now_us = time.time_ns() // 1_000
        query = request.rel_url.raw_query_string
        if len(query) > MAX_QUERY_BYTES:
            return self._refuse(414, "query", answers.QUERY_LINE, now_us)
        parameters = query_parameters(query) if query else {}
        if request.method == "POST":
            try:
                body = await self._body(request)
            except TimeoutError:
                return self._refuse(408, "body", answers.SLOW_LINE, now_us)
            if body is None:
                return self._refuse(413, "body", answers.BODY_LINE, now_us)
            parameters.update(body_parameters(body))
        peer, address = self._who(request)
        outcome = self._collector.collect(parameters, _headers_of(request), address, now_us)
        if isinstance(outcome, Accepted):
            if peer is not None and not self._rate_limit.allows(address):
                wait = str(self._rate_limit.retry_after_s())
                site = outcome.hit.site
                return self._refuse(429, "rate-limit", answers.RATE_LINE, now_us, site, Retry_After=wait)
            return await self._accept(request, outcome, endpoint, cors, now_us)
        if isinstance(outcome, Excluded):
            self._leave_out(outcome.site, "excluded", outcome.reason, now_us)
            return endpoint.done(f"excluded; reason={outcome.reason}", cors)
        line = answers.ID_LINE if outcome.reason == "id" else answers.URL_LINE
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
                return unpacked(
                    await request.read(), request.headers.get("Content-Encoding", ""), MAX_BODY_BYTES
                )
        except web.HTTPRequestEntityTooLarge:
            return None
        except (web.PayloadAccessError, web.RequestPayloadError, HttpProcessingError, ConnectionError):
            return b""  # cut off or wrongly encoded: there are no parameters in it

    async def _accept(
        self,
        request: web.BaseRequest,
        outcome: Accepted,
        endpoint: _Endpoint,
        cors: dict[str, str],
        now_us: int,
    ) -> web.Response | FixedAnswer:
        durable = self._commit.submit(outcome.hit)
        if durable is None:
            site = outcome.hit.site
            return self._refuse(503, "too-many", answers.UNAVAILABLE_LINE, now_us, site, Retry_After="5")
        if not await durable:  # counted by the group itself
            return refusal(503, "not-durable", answers.UNAVAILABLE_LINE, Retry_After="5")
        if not self.stopping and not cors and not outcome.dropped and fits(request):
            return endpoint.accepted
        dropped = f"; dropped={','.join(outcome.dropped)}" if outcome.dropped else ""
        return endpoint.done(f"accepted{dropped}", cors)

    def _leave_out(self, site: str, kind: str, reason: str, now_us: int) -> None:
        self._metrics.requests.labels(kind, reason).inc()
        self._commit.leave_out(site, self._day_of(now_us), kind, reason)

    def _refuse(
        self, status: int, reason: str, line: str, now_us: int, site: str = "", **headers: str
    ) -> web.Response:
        self._leave_out(site, "refused", reason, now_us)
        return refusal(status, reason, line, **headers)

    # The owner's cookie --------------------------------------------------------------------------------------

    async def _answer_me(self, request: web.BaseRequest) -> web.Response:
        is_me = is_owner(request.headers.get("Cookie", ""))
        if request.method in ("GET", "HEAD"):
            return page_answer(pages.me_page(is_me))
        if request.method != "POST":
            return text_answer(405, answers.METHOD_LINE, Allow="GET, HEAD, POST")
        if not _same_origin(request):
            return text_answer(403, answers.SAME_ORIGIN_LINE)
        # TLS ends at a proxy; the form's Origin tells where the browser is, whatever the proxy says.
        headers = request.headers
        secure = "https" in (headers.get("X-Forwarded-Proto"), headers.get("Origin", "").partition(":")[0])
        # Browsers take SameSite=None only with Secure; on plain HTTP (this machine) the default must do.
        same_site = "SameSite=None; Secure" if secure else "SameSite=Lax"
        life = "Max-Age=0" if is_me else "Max-Age=34560000"
        cookie = f"isMe={'' if is_me else 'true'}; Path=/; {life}; HttpOnly; {same_site}"
        return answers.answer(303, b"", "", {"Location": "/me", "Set-Cookie": cookie})


def _same_origin(request: web.BaseRequest) -> bool:
    """Whether a form was sent from the pixel's own page.

    Over HTTPS browsers say so themselves, which no page can forge and which holds behind a proxy that renames the
    Host. Over HTTP they name at least the Origin of every POST.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    try:
        origin = urlsplit(request.headers.get("Origin", "")).netloc.lower()
    except ValueError:
        return False
    return origin == request.headers.get("Host", "").lower() != ""
