"""The pixel over HTTP: endpoints, statuses and headers of contract section 2.

A low-level aiohttp server with a table of routes: every answer, also to bytes that are no HTTP, is made here or in
``connection``. No answer quotes what was sent, and nothing that was sent reaches a log.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from services.pixel import answers, pages
from services.pixel.answers import page_answer, pixel_answer, refusal, text_answer
from services.pixel.borrowed import BorrowedSocket
from services.pixel.connection import peer_of
from services.pixel.fixed_answer import FixedAnswer
from services.pixel.group_commit import GroupCommit
from services.pixel.hits import MAX_BODY_BYTES, MAX_QUERY_BYTES, Endpoint, HitTaker
from services.pixel.values import is_owner
from services.settings import DEFAULT_ENDPOINT_NAME, DEFAULT_SCRIPT_NAME, Settings
from services.version import VERSION

BODY_WITHIN_S = 1.5  # no answer takes longer than 2 s

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


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

    def __init__(self, settings: Settings, taker: HitTaker, commit: GroupCommit) -> None:
        self.taker = taker
        self._commit = commit
        self.stopping = False
        self.borrowed: BorrowedSocket | None = None  # where readers come by the door
        # Names that the owner chose answer beside the usual ones, which stand on pages already.
        names = {DEFAULT_ENDPOINT_NAME, settings.endpoint_name}
        nothing, image = Endpoint(is_image=False), Endpoint(is_image=True)
        self.endpoints = {f"/{n}": nothing for n in names} | {f"/{n}.gif": image for n in names}
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
        if self.stopping:
            answer.force_close()
        return answer

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        endpoint = self.endpoints.get(path)
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

    async def _answer_hit(self, request: web.BaseRequest, endpoint: Endpoint) -> web.StreamResponse:
        method = request.method
        if endpoint.takes(method):
            return await self._take(request, endpoint)
        origin = request.headers.get("Origin")
        cors = self.taker.cors(origin)
        if method == "OPTIONS":
            answer = self._answer_options(endpoint, cors, is_preflight=origin is not None)
        elif method == "HEAD":
            answer = pixel_answer(is_image=endpoint.is_image, outcome="excluded; reason=head", extra={})
        else:
            answer = refusal(405, "method", answers.METHOD_LINE, Allow=endpoint.methods)
        answer.headers.update(cors)
        return answer

    @staticmethod
    def _answer_options(endpoint: Endpoint, cors: dict[str, str], *, is_preflight: bool) -> web.Response:
        outcome = {"X-Footfall": "excluded; reason=preflight"}
        if not is_preflight:
            return answers.answer(204, b"", "", {**outcome, "Allow": endpoint.methods})
        if "Access-Control-Allow-Origin" not in cors:
            return refusal(403, "origin", answers.ORIGIN_LINE)
        methods = {"Access-Control-Allow-Methods": endpoint.methods,
                   "Access-Control-Allow-Headers": "Content-Type",
                   "Access-Control-Max-Age": "86400"}  # fmt: skip
        return answers.answer(204, b"", "", {**outcome, **methods})

    async def _take(self, request: web.BaseRequest, endpoint: Endpoint) -> web.Response:
        query, headers, body = request.rel_url.raw_query_string, request.headers, None
        if request.method == "POST" and len(query) <= MAX_QUERY_BYTES:
            try:
                body = await self._body(request)
            except TimeoutError:
                return self.taker.refuse(headers, 408, "body", answers.SLOW_LINE).ordinary()
            if body is None:
                return self.taker.refuse(headers, 413, "body", answers.BODY_LINE).ordinary()
        told: asyncio.Future[FixedAnswer] = asyncio.get_running_loop().create_future()

        def tell(answer: FixedAnswer) -> None:
            if not told.done():  # else the client is gone
                told.set_result(answer)

        self.taker.take(endpoint, query, headers, body, peer_of(request.remote), tell)
        return (await told).ordinary()

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
