"""Two small web servers on 127.0.0.1: pages for a browser to open, and an endpoint that records.

The endpoint stands where the pixel would, so that a test sees a request exactly as it left the browser.
What a pixel makes of such requests is tested elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

GIF = bytes.fromhex("47494638396101000100800000000000ffffff21f90401000000002c000000000100010000020144003b")
ARRIVAL_S = 10.0


async def until(true: Callable[[], bool]) -> None:
    """Return once it is true. Raises TimeoutError."""
    async with asyncio.timeout(ARRIVAL_S):
        while not true():  # noqa: ASYNC110 - what is waited for happens in several places
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A server for every path on a free port; the port."""
    runner = web.ServerRunner(web.Server(handler))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@dataclass(frozen=True)
class Arrival:
    """A request as it came."""

    method: str
    path: str
    raw_query: str
    query: dict[str, str]
    headers: dict[str, str]  # names in lower case


@dataclass
class Recorder:
    """The endpoint: answers as the pixel does, and keeps what came."""

    port: int = 0
    script: bytes = b""
    allow_origins: bool = True
    hang_up: int = 0  # so many requests get no answer but a closed connection
    arrivals: list[Arrival] = field(default_factory=list)

    def url(self, path: str, host: str = "pixel.example") -> str:
        """An address of the endpoint."""
        return f"http://{host}:{self.port}{path}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """``/a.js`` is served; everything else is recorded."""
        if request.path == "/a.js":
            return web.Response(body=self.script, content_type="text/javascript")
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.arrivals.append(
            Arrival(request.method, request.path, request.rel_url.raw_query_string,
                    dict(request.query), headers)
        )  # fmt: skip
        if self.hang_up:
            self.hang_up -= 1
            assert request.transport
            request.transport.close()
        return self._answer(request.path, headers.get("origin", ""))

    def _answer(self, path: str, origin: str) -> web.Response:
        answer = (
            web.Response(body=GIF, content_type="image/gif") if ".gif" in path else web.Response(status=204)
        )
        answer.headers["Cache-Control"] = "no-store"
        if origin and self.allow_origins:
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Access-Control-Allow-Credentials"] = "true"
        return answer

    async def wait_for(self, number: int) -> list[Arrival]:
        """All that came, once it is so many. Raises TimeoutError."""
        await until(lambda: len(self.arrivals) >= number)
        return list(self.arrivals)


@dataclass
class Pages:
    """Pages by path, the same on every host."""

    port: int = 0
    pages: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)  # by path; others are 200
    asked: list[str] = field(default_factory=list)  # paths, in the order of asking

    def put(self, path: str, html: str, policy: str = "") -> None:
        """Serve this at a path, under a Content-Security-Policy."""
        self.pages[path] = (html, {"Content-Security-Policy": policy} if policy else {})

    def url(self, path: str, host: str = "blog.example") -> str:
        """The address of a page."""
        return f"http://{host}:{self.port}{path}"

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The page of a path."""
        self.asked.append(request.path)
        if request.path not in self.pages:
            return web.Response(status=404, text="not found")
        html, headers = self.pages[request.path]
        status = self.statuses.get(request.path, 200)
        return web.Response(status=status, text=html, content_type="text/html", headers=headers)


def page(*, title: str = "A page", head: str = "", body: str = "") -> str:
    """The HTML of a page."""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>{head}</head>'
        f"<body>{body}</body></html>"
    )
