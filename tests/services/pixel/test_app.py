"""The pixel's process with a real Redis: what becomes of hits on the stream, odd bytes, failures, start and stop.

Statuses and headers of contract section 2 stand in tests/system/section_2.py, with the rows that they lead to.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import pytest
import redis
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.hit import RawHit
from services.hit_stream import STREAM
from services.sealing import SealingKeys
from tests.make import ADDRESS, USER_AGENT
from tests.services.conftest import OwnRedis, groups_in, hits_in
from tests.strategies import examples
from tools.servers import Redis, free_port, poll, spawn

pytestmark = pytest.mark.servers

ROOT = Path(__file__).resolve().parents[3]
PAGE = "https://blog.example/a"
ORIGIN = "https://blog.example"
URL = quote(PAGE)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def line(self) -> str:
        return self.body.decode()


@dataclass
class Pixel:
    """A process of the pixel."""

    redis_url: str
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="footfall-pixel-"))
        self.port = free_port()
        self.stderr = self.folder / "stderr"
        known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        environ = {
            **known, "DATA_DIR": str(self.folder), "PIXEL_PORT": str(self.port), "REDIS_URL": self.redis_url,
            "PYTHONPATH": str(ROOT), "RATE_LIMIT": "0", **self.environ,
        }  # fmt: skip
        self.process = spawn([sys.executable, "-m", "services.pixel"], environ=environ, log=self.stderr)
        assert poll(self.is_up, 20), self.stderr.read_text()
        self.keys = SealingKeys(self.folder / "keys")

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.stderr.read_text()
        try:
            return self.ask("/livez").status == 200
        except OSError:
            return False

    def ask(self, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
        """An answer to a request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=8)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def hit(self, path: str = "/a", **parameters: Any) -> Answer:
        """A GET with these parameters, for a page of the site if none is named."""
        return self.ask(f"{path}?{urlencode({'url': PAGE, **parameters})}")

    def send(self, data: bytes, answer_within_s: float = 0.15) -> bytes:
        """What is answered to bytes; a request that seems unfinished is cut off."""
        with socket.create_connection(("127.0.0.1", self.port)) as wire:
            received = b""
            with contextlib.suppress(ConnectionError):
                wire.sendall(data)
                wire.settimeout(answer_within_s)
                with contextlib.suppress(TimeoutError):
                    while part := wire.recv(65_536):
                        received += part
                        wire.settimeout(0.05)  # answers on one connection follow each other at once
                wire.shutdown(socket.SHUT_WR)
                wire.settimeout(8)
                while part := wire.recv(65_536):
                    received += part
            return received

    def hits(self) -> list[RawHit]:
        return hits_in(self.redis_url, self.keys)

    def left_out(self) -> dict[tuple[str, str, str], int]:
        found: dict[tuple[str, str, str], int] = {}
        for group in groups_in(self.redis_url):
            for part in group.left_out:
                key = (part.site, part.outcome, part.reason)
                found[key] = found.get(key, 0) + part.hits
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def running(redis_server: Redis) -> Iterator[Pixel]:
    """One pixel for most tests: it counts blog.example, and believes a proxy on this machine."""
    pixel = Pixel(
        f"redis://127.0.0.1:{redis_server.port}/1", {"SITES": "blog.example", "TRUSTED_PROXIES": "127.0.0.1"}
    )
    yield pixel
    pixel.stop()


@pytest.fixture
def pixel(running: Pixel) -> Pixel:
    """The pixel, and an empty stream."""
    redis.Redis.from_url(running.redis_url).delete(STREAM)
    return running


# The pixel itself ---------------------------------------------------------------------------------------------


def test_the_hit_is_what_was_sent(pixel: Pixel) -> None:
    hit_id = str(uuid.uuid4())
    before_us = time.time_ns() // 1000
    answer = pixel.ask(
        "/a?" + urlencode({
            "url": PAGE + "?utm_source=x", "referrer": "https://x.example/", "title": "Ä post", "screen": "1x2",
            "event": "signup", "props": '{"a": 1}', "status": 404, "id": hit_id.upper(), "language": "de",
        }),
        User_Agent=USER_AGENT, X_Forwarded_For=f"198.51.100.1, {ADDRESS}", Cookie="isMe=true", DNT="1",
    )  # fmt: skip
    assert answer.headers["X-Footfall"] == "accepted"
    [hit] = pixel.hits()
    assert uuid.UUID(bytes=hit.hit_id) == uuid.UUID(hit_id)
    assert before_us <= hit.received_at_us <= time.time_ns() // 1000
    assert hit.day == time.strftime("%Y-%m-%d", time.gmtime(hit.received_at_us / 1e6))
    assert (hit.site, hit.url, hit.referrer) == ("blog.example", PAGE + "?utm_source=x", "https://x.example/")
    assert (hit.title, hit.screen, hit.event, hit.props) == ("Ä post", "1x2", "signup", {"a": 1})
    assert (hit.status, hit.language, hit.is_me, hit.anonymous) == (404, "de", True, True)
    assert (hit.address, hit.user_agent) == (ADDRESS, USER_AGENT)


def test_what_is_left_out_is_counted_by_site_and_reason(pixel: Pixel) -> None:
    pixel.hit()  # takes along what earlier tests left
    redis.Redis.from_url(pixel.redis_url).delete(STREAM)
    for path in (
        "/a?url=http://localhost/", "/a.gif?url=file:///a", "/a?url=https://evil.example/", "/a", "/a?url=nonsense",
        f"/a?url={URL}&id=x", "/a?x=" + "x" * 9_000,
    ):  # fmt: skip
        pixel.ask(path)
    pixel.ask(f"/a?url={URL}", Sec_Purpose="prefetch")
    pixel.ask("/a", "POST", b"{")
    pixel.ask("/a", "POST", b"x" * 70_000)
    expected = {
        ("", "excluded", "local-host"): 2, ("", "excluded", "unknown-site"): 1, ("", "refused", "url"): 3,
        ("blog.example", "refused", "id"): 1, ("", "refused", "query"): 1, ("", "refused", "body"): 1,
        ("blog.example", "excluded", "prefetch"): 1,
    }  # fmt: skip
    assert poll(lambda: pixel.left_out() == expected, 3), pixel.left_out()


@pytest.mark.parametrize("method", ["GE", "get", "OPTION", "POS", "EAD", "X"])
def test_what_is_no_method_counts_nothing(pixel: Pixel, method: str) -> None:
    assert pixel.ask(f"/a?url={URL}", method).status in (400, 405)
    assert pixel.hits() == []


@pytest.mark.parametrize("path", ["/a", "/a.gif", "/me", "/", "/privacy/", "/nothing", "/readyz"])
@pytest.mark.parametrize("cookie", ["", "isMe=true; other=1"])
def test_nobody_gets_a_cookie_unasked(pixel: Pixel, path: str, cookie: str) -> None:
    for method in ("GET", "HEAD", "OPTIONS"):
        answer = pixel.ask(f"{path}?url={URL}", method, Cookie=cookie, Origin=ORIGIN)
        assert "Set-Cookie" not in answer.headers


def test_an_absolute_request_line_is_a_request(pixel: Pixel) -> None:
    answer = pixel.send(
        b"GET http://p.example/a?url=%s HTTP/1.1\r\nHost: p\r\nConnection: close\r\n\r\n" % URL.encode()
    )
    assert answer.startswith(b"HTTP/1.1 204 ")


def test_several_hits_travel_on_one_connection(pixel: Pixel) -> None:
    request = f"GET /a?url={URL} HTTP/1.1\r\nHost: p\r\n\r\n".encode()
    last = request.replace(b"Host: p", b"Host: p\r\nConnection: close")
    answer = pixel.send(request * 9 + last)
    assert answer.count(b"HTTP/1.1 204 ") == 10
    assert len(pixel.hits()) == 10


# The other addresses ------------------------------------------------------------------------------------------


def test_the_tracker_is_compressed_for_who_takes_it(pixel: Pixel) -> None:
    plain, packed = pixel.ask("/a.js"), pixel.ask("/a.js", Accept_Encoding="gzip, deflate, br")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert gzip.decompress(packed.body) == plain.body
    assert {plain.headers["Vary"], packed.headers["Vary"]} == {"Accept-Encoding"}
    assert len(packed.body) <= 1_024


@pytest.mark.parametrize("path", ["/metrics", "/nothing", "/a/", "/A", "/a.gif/", "/..", "//a", "/%00", "*"])
def test_nothing_else_answers(pixel: Pixel, path: str) -> None:
    answer = pixel.ask(path)
    assert answer.status in (400, 404)
    assert answer.body.count(b"\n") == 1


def test_the_version_names_no_software_but_ours(pixel: Pixel) -> None:
    for path in ("/", "/a", "/nothing"):
        assert pixel.ask(path).headers["Server"] == "footfall"
    assert b"Python" not in pixel.send(b"nonsense\r\n\r\n")


# Nobody is logged, nothing is a 500 ---------------------------------------------------------------------------

SECRETS = (ADDRESS, "CanaryPhone-7319", "secret-page", "secret-referrer", "127.0.0.1")
PERSON = (
    f"User-Agent: {USER_AGENT}\r\nX-Forwarded-For: {ADDRESS}\r\nReferer: https://secret-referrer.example/\r\n"
).encode()
TARGET = b"/a?url=https%3A%2F%2Fblog.example%2Fsecret-page&title=" + ADDRESS.encode()
HEAD = b"GET " + TARGET + b" HTTP/1.1\r\nHost: p\r\n" + PERSON
POST = b"POST " + TARGET + b" HTTP/1.1\r\nHost: p\r\n" + PERSON

ODD = {
    "whole": HEAD + b"\r\n",
    "no line": b"\r\n\r\n",
    "nonsense": b"\x16\x03\x01\x02\x00\x01\x00" + ADDRESS.encode() + b"\r\n\r\n",
    "no version": b"GET " + TARGET + b"\r\n" + PERSON + b"\r\n",
    "version 2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "version 9": HEAD.replace(b"1.1", b"9.9") + b"\r\n",
    "no host": b"GET " + TARGET + b" HTTP/1.1\r\n" + PERSON + b"\r\n",
    "two hosts": HEAD + b"Host: q\r\n\r\n",
    "bare header": HEAD + b"NoColon " + ADDRESS.encode() + b"\r\n\r\n",
    "space in a name": HEAD + b"X Y: " + ADDRESS.encode() + b"\r\n\r\n",
    "NUL in a value": HEAD + b"X: a\0" + ADDRESS.encode() + b"\r\n\r\n",
    "NUL in the line": b"GET /a?\0" + TARGET + b" HTTP/1.1\r\nHost: p\r\n" + PERSON + b"\r\n",
    "bytes beyond ASCII": HEAD.replace(b"secret-page", b"\xff\xfe") + b"X: \xff\r\n\r\n",
    "bytes in a method": b"G\xffT " + TARGET + b" HTTP/1.1\r\nHost: p\r\n" + PERSON + b"\r\n",
    "origin beyond ASCII": HEAD + b"Origin: https://blog.example/\xff\r\n\r\n",
    "origin with a path": HEAD + "Origin: https://blog.example/ä\r\n\r\n".encode(),
    "preflight beyond ASCII": b"OPTIONS /a HTTP/1.1\r\nHost: p\r\nOrigin: https://blog.example/\xff\r\n\r\n",
    "form from an odd origin": b"POST /me HTTP/1.1\r\nHost: \xff\r\nOrigin: http://\xff\r\n\r\n",
    "long header": HEAD + b"X: " + b"x" * 40_000 + b"\r\n\r\n",
    "long line": b"GET " + TARGET + b"x" * 40_000 + b" HTTP/1.1\r\nHost: p\r\n" + PERSON + b"\r\n",
    "many headers": HEAD + b"".join(b"X-%d: x\r\n" % n for n in range(5_000)) + b"\r\n",
    "folded header": HEAD + b"X: a\r\n b\r\n\r\n",
    "cut-off head": HEAD,
    "cut-off line": HEAD[:30],
    "cut-off body": POST + b"Content-Length: 100\r\n\r\nurl=" + ADDRESS.encode(),
    "no body": POST + b"Content-Length: 100\r\n\r\n",
    "length is no number": POST + b"Content-Length: x\r\n\r\nbody",
    "negative length": POST + b"Content-Length: -1\r\n\r\nbody",
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nbody",
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks without end": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello",
    "chunk is no number": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + ADDRESS.encode(),
    "chunk too short": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhi\r\n0\r\n\r\n",
    "unknown transfer": POST + b"Transfer-Encoding: gibberish\r\n\r\nbody",
    "broken gzip": POST + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nbody",
    "broken deflate": POST + b"Content-Encoding: deflate\r\nContent-Length: 4\r\n\r\n\xff\xff\xff\xff",
    "unknown encoding": POST + b"Content-Encoding: zstd\r\nContent-Length: 4\r\n\r\nbody",
    "broken br": POST + b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nbody",
    "expectation": POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    "other expectation": POST + b"Expect: wonders\r\nContent-Length: 2\r\n\r\n{}",
    "upgrade": HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "connect": b"CONNECT " + ADDRESS.encode() + b":443 HTTP/1.1\r\nHost: p\r\n" + PERSON + b"\r\n",
    "odd target": b"GET http://[::1 HTTP/1.1\r\nHost: p\r\n" + PERSON + b"\r\n",
    "odd port": b"GET http://p:99999/a HTTP/1.1\r\nHost: p\r\n" + PERSON + b"\r\n",
    "port is no number": b"GET http://p:x/a HTTP/1.1\r\nHost: p\r\n" + PERSON + b"\r\n",
    "percent": b"GET /a?url=%&title=%u0041&x=%zz HTTP/1.1\r\nHost: p\r\n" + PERSON + b"\r\n",
    "huge number": POST + b"Content-Length: 5012\r\n\r\n" + b'{"status": ' + b"9" * 5_000 + b"}",
    "deep body": POST + b"Content-Length: 60000\r\n\r\n" + b'{"a":' * 12_000,
    "many cookies": HEAD + b"Cookie: " + b"a=b; " * 5_000 + b"\r\n\r\n",
    "absolute-form without a path": b"GET http://p HTTP/1.1\r\nHost: p\r\n" + PERSON + b"\r\n",
    "fragment": b"GET /a#" + ADDRESS.encode() + b" HTTP/1.1\r\nHost: p\r\n" + PERSON + b"\r\n",
}


def statuses_in(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_no_bytes_are_a_500_or_are_quoted(pixel: Pixel, data: bytes) -> None:
    started = time.monotonic()
    answer = pixel.send(data)
    assert time.monotonic() - started < 2
    assert all(status < 500 for status in statuses_in(answer)), answer[:300]
    assert not re.search(rb"Traceback|Python|aiohttp", answer)
    assert not [secret for secret in SECRETS if secret.encode() in answer]
    assert pixel.hit().status == 204, "the pixel goes on"


pieces = st.sampled_from(
    [b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"/a", b"/a.gif", b"/me", b"?url=", URL.encode(), b"&id=", b"&props=",
     b" HTTP/1.1", b" HTTP/1.0", b"\r\n", b"\r\n\r\n", b"Host: p\r\n", b"Content-Length: 7\r\n", b"%00", b"\0", b"\n",
     b"Transfer-Encoding: chunked\r\n", b"Origin: ", b"Cookie: ", b"Referer: ", b"X-Forwarded-For: ", b": ", b"\xff",
     b"Content-Encoding: gzip\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b'{"url": "', b'"}', b"\xf0\x9f\x92\xa9"]
)  # fmt: skip
fuzz = st.lists(pieces | st.binary(max_size=12), max_size=20).map(b"".join)
well_formed = st.tuples(fuzz, fuzz).map(
    lambda parts: (
        b"POST /a HTTP/1.1\r\nHost: p\r\nOrigin: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s"
        % (parts[0].replace(b"\r", b"").replace(b"\n", b""), len(parts[1]), parts[1])
    )
)
mutated_requests = st.sampled_from(list(ODD.values())).flatmap(
    lambda data: st.tuples(st.integers(0, len(data)), st.binary(max_size=5)).map(
        lambda change: data[: change[0]] + change[1] + data[change[0] + 1 :]
    )
)


@given(data=fuzz | well_formed | mutated_requests)
@hypothesis_settings(max_examples=examples(150))
def test_no_bytes_at_all_are_a_500(running: Pixel, data: bytes) -> None:
    assert all(status < 500 for status in statuses_in(running.send(data, 0.05))), data


def test_a_connection_that_is_cut_anywhere_logs_nobody(pixel: Pixel) -> None:
    whole = POST + b"Content-Length: 40\r\n\r\n" + b"title=" + ADDRESS.encode() + b"x" * 22
    draw = random.Random(7)
    for _ in range(40):
        with socket.create_connection(("127.0.0.1", pixel.port)) as wire:
            wire.sendall(whole[: draw.randrange(len(whole))])
            if draw.random() < 0.5:  # a reset, not a goodbye
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    assert pixel.hit().status == 204


def test_no_log_line_names_anybody(running: Pixel) -> None:
    """Stands after the odd requests: all of them went to this pixel."""
    running.hit(title="x", status="secret-page")
    text = running.stderr.read_text()
    assert '"action": "started"' in text
    assert not [secret for secret in SECRETS if secret in text]
    assert "Mozilla" not in text
    for line in text.splitlines():
        assert json.loads(line)["action"], line
        assert json.loads(line)["action"] != "request-failed", line


# Settings -----------------------------------------------------------------------------------------------------


def test_too_many_hits_are_429_and_say_when(redis_url: str) -> None:
    pixel = Pixel(redis_url, {"RATE_LIMIT": "3", "TRUSTED_PROXIES": "127.0.0.0/8"})
    try:
        statuses = [pixel.ask(f"/a?url={URL}", X_Forwarded_For=ADDRESS).status for _ in range(5)]
        assert statuses == [204, 204, 204, 429, 429]
        answer = pixel.ask(f"/a?url={URL}", X_Forwarded_For=ADDRESS)
        assert 1 <= int(answer.headers["Retry-After"]) <= 61
        assert answer.headers["X-Footfall"] == "refused; reason=rate-limit"
        assert ADDRESS not in answer.line
        assert pixel.ask(f"/a?url={URL}", X_Forwarded_For="198.51.100.9").status == 204, "another client"
        assert pixel.ask("/a?url=http://localhost/", X_Forwarded_For=ADDRESS).status == 204, "counts no hit"
        assert len(pixel.hits()) == 4
        assert poll(lambda: pixel.left_out().get(("blog.example", "refused", "rate-limit")) == 3, 3)
    finally:
        pixel.stop()


def test_a_taken_port_is_an_error_that_names_it(pixel: Pixel, tmp_path: Path) -> None:
    environ = {**os.environ, "PIXEL_PORT": str(pixel.port), "DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "services.pixel"], env=environ, cwd=ROOT, capture_output=True, text=True,
        timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    problem = json.loads(done.stderr.splitlines()[-1])["problem"]
    assert "PIXEL_PORT" in problem
    assert str(pixel.port) in problem


def test_wrong_settings_are_all_reported(tmp_path: Path) -> None:
    environ = {**os.environ, "PIXEL_PORT": "x", "SITES": "http://", "DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "services.pixel"], env=environ, cwd=ROOT, capture_output=True, text=True,
        timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert [problem.partition(":")[0] for problem in json.loads(line)["problems"]] == ["SITES", "PIXEL_PORT"]


# Redis is down, and the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "is away"])
def test_while_redis_fails_hits_are_taken_within_2_s_and_sent_on(own_redis: OwnRedis, number: int) -> None:
    pixel = Pixel(own_redis.url, {"SITES": "blog.example"})
    try:
        assert pixel.hit().status == 204
        own_redis.send(number)
        for _ in range(4):
            started = time.monotonic()
            answer = pixel.hit()
            assert time.monotonic() - started < 2
            assert (answer.status, answer.headers["X-Footfall"]) == (204, "accepted")
        assert poll(lambda: pixel.ask("/readyz").line == "ready; degraded: redis, spool\n", 5)
        assert pixel.ask("/readyz").status == 200
        if number == signal.SIGKILL:
            own_redis.kill()
            own_redis.start()
        own_redis.send(signal.SIGCONT)
        assert poll(lambda: pixel.ask("/readyz").line == "ready\n", 5)
        assert len({hit.hit_id for hit in pixel.hits()}) == 5
        assert "127.0.0.1" not in pixel.stderr.read_text()
    finally:
        pixel.stop()


def test_what_cannot_be_made_durable_is_503_within_2_s_and_says_when_to_come_again(
    own_redis: OwnRedis,
) -> None:
    pixel = Pixel(own_redis.url, {"SITES": "blog.example", "SPOOL_MAX_MB": "1"})
    props = {f"{number:02}" + "x" * 60: "v" * 300 for number in range(30)}
    large = json.dumps({"url": PAGE, "referrer": "r" * 2_048, "title": "t" * 512, "props": props}).encode()
    try:
        own_redis.send(signal.SIGSTOP)
        while (answer := pixel.ask("/a", "POST", large)).status == 204:
            pass
        for _ in range(2):
            started = time.monotonic()
            answer = pixel.ask("/a", "POST", large)
            assert time.monotonic() - started < 2
            assert answer.status == 503
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.line == "The hit cannot be stored now: send it again later.\n"
        ready = pixel.ask("/readyz")
        assert (ready.status, ready.line) == (503, "not ready; degraded: redis, spool\n")
        assert (pixel.ask("/livez").status, pixel.ask("/").status) == (200, 200)
        own_redis.send(signal.SIGCONT)
        assert poll(lambda: pixel.ask("/readyz").line == "ready\n", 10)
        assert pixel.ask("/a", "POST", large).status == 204
        assert poll(lambda: pixel.left_out().get(("blog.example", "refused", "not-durable")) == 3, 5)
    finally:
        pixel.stop()


def test_a_pixel_that_is_told_to_stop_answers_what_it_took(own_redis: OwnRedis) -> None:
    pixel = Pixel(own_redis.url)
    own_redis.send(signal.SIGSTOP)
    with socket.create_connection(("127.0.0.1", pixel.port), timeout=5) as wire:
        wire.sendall(f"GET /a?url={URL} HTTP/1.1\r\nHost: p\r\n\r\n".encode())
        time.sleep(0.2)  # the request is on its way: nothing outside shows it
        pixel.process.send_signal(signal.SIGTERM)
        own_redis.send(signal.SIGCONT)
        assert wire.recv(100).startswith(b"HTTP/1.1 204 ")
    assert pixel.process.wait(10) == 0
    assert len(pixel.hits()) == 1
    assert json.loads(pixel.stderr.read_text().splitlines()[-1])["action"] == "stopped"
