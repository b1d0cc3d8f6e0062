"""Ordinary hits are answered by their connection, all else by aiohttp, in the same words and in order."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.metrics import PixelMetrics
from services.pixel import connection
from services.pixel.app import Pixel
from services.pixel.client_address import ClientAddress
from services.pixel.clock import DayClock, HitIds
from services.pixel.collect import Collector
from services.pixel.connection import PixelServer
from services.pixel.group_commit import GroupCommit
from services.pixel.hits import HitTaker
from services.pixel.rate_limit import RateLimit
from services.settings import load_settings
from tests.services.conftest import OwnRedis, hits_in
from tests.services.pixel.test_group_commit import Parts, until

pytestmark = pytest.mark.servers

HIT = b"GET /a.gif?url=https%3A%2F%2Fblog.example%2Fa HTTP/1.1\r\nHost: p\r\n\r\n"
ROBOTS = b"GET /robots.txt HTTP/1.1\r\nHost: p\r\n\r\n"
FORM = b"POST /a HTTP/1.1\r\nHost: p\r\nContent-Length: 28\r\n\r\n"
BODY = b"url=https://blog.example/new"


class Wire:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the next answer."""
        async with asyncio.timeout(5):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")[1:-2]
            headers = dict(line.split(": ", 1) for line in lines)
            body = await self._reader.readexactly(int(headers.get("Content-Length", "0")))
            return int(head.split()[1]), headers, body

    async def end(self) -> bytes:
        """What comes until the connection is closed."""
        async with asyncio.timeout(5):
            return await self._reader.read()

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        self._writer.transport.abort()


class Running:
    """A pixel in this process, and its clients."""

    def __init__(self, parts: Parts, redis_url: str) -> None:
        settings = load_settings({"SITES": "blog.example", "DATA_DIR": str(parts.folder), "RATE_LIMIT": "0"})
        self.commit: GroupCommit = parts.make(redis_url)
        days = DayClock(settings.report_timezone)
        taker = HitTaker(
            collector=Collector(settings, days.day_of, HitIds().make),
            commit=self.commit,
            client_address=ClientAddress(settings.trusted_proxies, settings.client_address_header),
            rate_limit=RateLimit(settings.rate_limit, time.monotonic),
            metrics=PixelMetrics(),
            day_of=days.day_of,
        )
        self.pixel = Pixel(settings, taker, self.commit)
        self.server = PixelServer(self.pixel, parts.log)  # type: ignore[arg-type]
        self._listener: asyncio.Server | None = None
        self._wires: list[Wire] = []

    async def start(self) -> None:
        self._listener = await asyncio.get_running_loop().create_server(self.server, "127.0.0.1", 0)

    async def wire(self) -> Wire:
        assert self._listener is not None
        port = self._listener.sockets[0].getsockname()[1]
        self._wires.append(Wire(*await asyncio.open_connection("127.0.0.1", port)))
        return self._wires[-1]

    async def stop(self) -> None:
        for wire in self._wires:
            wire.close()
        assert self._listener is not None
        self._listener.close()
        await self.server.shutdown(1.0)

    @property
    def by_aiohttp(self) -> int:
        """Requests that went aiohttp's own way."""
        return self.server.requests_count


@pytest.fixture
async def running(tmp_path: Path, own_redis: OwnRedis) -> AsyncIterator[Running]:
    parts = Parts(tmp_path)
    made = Running(parts, own_redis.url)
    await made.start()
    yield made
    with contextlib.suppress(ProcessLookupError):
        own_redis.send(signal.SIGCONT)
    await made.stop()
    await parts.close()


def without_date(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name not in ("Date", "Connection")}


@pytest.mark.parametrize(
    ("request_", "is_ordinary"),
    [
        pytest.param(HIT, True, id="an image"),
        pytest.param(HIT.replace(b".gif", b""), True, id="no image"),
        pytest.param(FORM + BODY, True, id="a form that is here"),
        pytest.param(
            HIT.replace(b"Host: p", b"Host: p\r\nOrigin: https://blog.example"), True, id="an origin"
        ),
        pytest.param(HIT.replace(b"https", b"file"), True, id="excluded"),
        pytest.param(HIT.replace(b"https", b"gopher"), True, id="refused"),
        pytest.param(HIT.replace(b"1.1", b"1.0"), False, id="HTTP/1.0"),
        pytest.param(HIT.replace(b"Host: p", b"Host: p\r\nConnection: close"), False, id="close"),
        pytest.param(HIT.replace(b"GET /a.gif", b"HEAD /a"), False, id="HEAD"),
        pytest.param(HIT.replace(b"GET /a.gif", b"OPTIONS /a"), False, id="OPTIONS"),
        pytest.param(HIT.replace(b"GET", b"POST"), False, id="another method"),
        pytest.param(HIT.replace(b"/a.gif", b"/%61.gif"), False, id="an encoded path"),
        pytest.param(HIT.replace(b"/a.gif", b"http://p/a.gif"), False, id="an absolute address"),
        pytest.param(HIT.replace(b" HTTP", b"#x HTTP"), False, id="a fragment"),
        pytest.param(
            HIT.replace(b"Host: p", b"Host: p\r\nContent-Length: 1") + b"x", False, id="a body of a GET"
        ),
        pytest.param(
            HIT.replace(b"Host: p", b"Host: p\r\nConnection: Upgrade\r\nUpgrade: websocket"),
            False,
            id="upgrade",
        ),
        pytest.param(
            (FORM + BODY).replace(b"Host: p", b"Host: p\r\nExpect: 100-continue"), False, id="expectation"
        ),
        pytest.param(ROBOTS, False, id="another address"),
    ],
)
async def test_what_is_ordinary(running: Running, request_: bytes, is_ordinary: bool) -> None:
    wire = await running.wire()
    wire.send(request_)
    await wire.answer()
    assert running.by_aiohttp == (0 if is_ordinary else 1)


@pytest.mark.parametrize(
    "origin", [b"", b"Origin: https://blog.example\r\n", b"Origin: https://x.example\r\n"]
)
@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"/a.gif?url=https://blog.example/a", 200),
        (b"/a?url=https://blog.example/a", 204),
        (b"/a?url=https://blog.example/a&screen=x&title=b", 204),
        (b"/a?url=https://unknown.example/", 204),
        (b"/a?url=", 400),
        (b"/a?url=https://blog.example/a&id=x", 400),
        (b"/a?" + b"x" * 9_000, 414),
    ],
)
async def test_both_ways_give_one_answer(running: Running, target: bytes, status: int, origin: bytes) -> None:
    answers = []
    for version in (b"1.1", b"1.0"):
        wire = await running.wire()
        wire.send(b"GET %s HTTP/%s\r\nHost: p\r\n%s\r\n" % (target, version, origin))
        answers.append(await wire.answer())
    ordinary, other = answers
    assert running.by_aiohttp == 1
    assert ordinary[0] == other[0] == status
    assert without_date(ordinary[1]) == without_date(other[1])
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", ordinary[1]["Date"])
    assert ordinary[2] == other[2]


async def test_answers_have_the_order_of_their_requests(running: Running, own_redis: OwnRedis) -> None:
    wire = await running.wire()
    wire.send(HIT)
    await wire.answer()
    own_redis.send(signal.SIGSTOP)
    wire.send(HIT)
    await until(lambda: running.commit._waiting_hits == 1)
    for piece in (ROBOTS, HIT[:20], HIT[20:] + HIT + ROBOTS, HIT.replace(b".gif", b"")):
        wire.send(piece)
        await asyncio.sleep(0.02)  # in pieces of their own
    own_redis.send(signal.SIGCONT)
    answers = [await wire.answer() for _ in range(6)]
    assert [status for status, _, _ in answers] == [200, 200, 200, 200, 200, 204]
    assert [headers["Content-Type"] for _, headers, _ in answers[:5]] == [
        "image/gif",
        "text/plain; charset=utf-8",
        "image/gif",
        "image/gif",
        "text/plain; charset=utf-8",
    ]


async def test_a_request_may_come_in_any_pieces(running: Running) -> None:
    wire = await running.wire()
    for size in (1, 7, 40, 60):
        data = HIT + FORM + BODY + HIT
        for start in range(0, len(data), size):
            wire.send(data[start : start + size])
            await asyncio.sleep(0)
        assert [(await wire.answer())[0] for _ in range(3)] == [200, 204, 200]


async def test_a_client_that_goes_before_its_answer_is_counted_and_troubles_nobody(
    running: Running, own_redis: OwnRedis, tmp_path: Path
) -> None:
    gone, resetting, waiting = [await running.wire() for _ in range(3)]
    own_redis.send(signal.SIGSTOP)
    for wire in (gone, resetting, waiting):
        wire.send(HIT)
    await until(lambda: running.commit._waiting_hits == 3)
    gone.close()
    resetting.reset()
    await until(lambda: len(running.server.connections) == 1)
    own_redis.send(signal.SIGCONT)
    assert (await waiting.answer())[0] == 200
    parts = Parts(tmp_path)
    assert len(hits_in(own_redis.url, parts.keys)) == 3


async def test_a_connection_is_closed_when_it_is_idle_and_not_while_a_hit_waits(
    running: Running, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KEEPALIVE_S", 0.4)
    wire = await running.wire()
    await asyncio.sleep(0.25)
    own_redis.send(signal.SIGSTOP)
    wire.send(HIT)
    await asyncio.sleep(0.25)  # longer than the first time allowed
    own_redis.send(signal.SIGCONT)
    assert (await wire.answer())[0] == 200
    assert await wire.end() == b""


async def test_a_pixel_that_stops_ends_a_connection_with_the_answer(
    running: Running, own_redis: OwnRedis
) -> None:
    waiting, later = await running.wire(), await running.wire()
    own_redis.send(signal.SIGSTOP)
    waiting.send(HIT)
    await until(lambda: running.commit._waiting_hits == 1)
    running.pixel.stopping = True
    own_redis.send(signal.SIGCONT)
    later.send(HIT)
    for wire in (waiting, later):
        status, headers, _ = await wire.answer()
        assert (status, headers["Connection"]) == (200, "close")
        assert await wire.end() == b""
    assert not running.server.connections
