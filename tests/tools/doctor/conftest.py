"""What the tests of `make doctor` plant faults with: real web servers, a pixel, names of the world."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.docs.proxies import write_certificate
from tests.services.pixel.test_app import Pixel
from tools.doctor.check import Outcome
from tools.doctor.checks import CHECKS
from tools.doctor.installation import Asked, Installation
from tools.servers import free_port

Reply = tuple[int, Mapping[str, str], bytes]
PAGE_TYPE = {"Content-Type": "text/html; charset=utf-8"}


@dataclass
class Web:
    """A web server of the test's own: pages by path, or all handed to a pixel behind it."""

    pages: dict[str, Reply] = field(default_factory=dict)
    behind: int | None = None  # the port to which all else is handed
    # What it makes of the answers of what is behind it.
    change: Callable[[Reply], Reply] = lambda reply: reply
    date_off_s: float = 0.0
    asked: list[tuple[str, str]] = field(default_factory=list)
    server: Any = None

    @property
    def port(self) -> int:
        return int(self.server.server_port)

    def page(self, path: str, html: str, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = (200, {**PAGE_TYPE, **named}, html.encode())

    def reply(self, request: BaseHTTPRequestHandler) -> Reply:
        """The answer to a request."""
        self.asked.append((request.command, request.path))
        found = self.pages.get(request.path.partition("?")[0])
        if found is not None:
            return found
        return self.change(self._handed_on(request)) if self.behind else (404, {}, b"")

    def _handed_on(self, request: BaseHTTPRequestHandler) -> Reply:
        assert self.behind
        connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=8)
        body = request.rfile.read(int(request.headers.get("Content-Length", 0)))
        connection.request(request.command, request.path, body or None, dict(request.headers))
        answer = connection.getresponse()
        headers = {
            n: v for n, v in answer.getheaders() if n.lower() not in ("content-length", "connection", "date")
        }
        reply = answer.status, headers, answer.read()
        connection.close()
        return reply


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            status, headers, body = web.reply(self)
            self.send_response_only(status)
            self.send_header("Date", email.utils.formatdate(time.time() + web.date_off_s, usegmt=True))
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_OPTIONS = answer

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextlib.contextmanager
def serving(web: Web, tls: tuple[Path, Path] | None = None) -> Iterator[Web]:
    """A running web server; with certificate and key by HTTPS."""
    web.server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(web))
    web.server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        web.server.socket = context.wrap_socket(
            web.server.socket, server_side=True, do_handshake_on_connect=False
        )
    threading.Thread(target=web.server.serve_forever, args=[0.01], daemon=True).start()
    try:
        yield web
    finally:
        web.server.shutdown()
        web.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    with serving(Web()) as web:
        yield web


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server for which every `….example` and `….example.com` is on this machine."""
    ask = socket.getaddrinfo

    def answer(host: Any, *arguments: Any, **keywords: Any) -> Any:
        is_ours = isinstance(host, str) and host.endswith((".example", ".example.com"))
        return ask("127.0.0.1" if is_ours else host, *arguments, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", answer)


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A certificate of pixel.example for one day that this machine believes, and its key."""
    paths = write_certificate(tmp_path, "pixel.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(paths[0]))
    return paths


@pytest.fixture(scope="module")
def make_pixel(redis_server: Any) -> Iterator[Callable[..., Pixel]]:
    """Starts pixels with settings of their own, each with metrics; all are stopped at the end."""
    pixels: list[Pixel] = []

    def make(**settings: str) -> Pixel:
        environ = {"METRICS_PORT": str(free_port()), **settings}
        pixels.append(Pixel(f"redis://127.0.0.1:{redis_server.port}/0", environ))
        return pixels[-1]

    yield make
    for pixel in pixels:
        pixel.stop()


def installation_of(pixel: Pixel, **asked: Any) -> Installation:
    """What doctor knows of a pixel that runs alone."""
    urls = {
        "PIXEL_URL": f"http://127.0.0.1:{pixel.port}",
        "PIXEL_METRICS_URL": f"http://127.0.0.1:{pixel.environ['METRICS_PORT']}/metrics",
    }
    return Installation(Asked(**asked), urls, {"pixel": pixel.environ})


def outcome(name: str, installation: Installation) -> Outcome:
    """What comes of a check."""
    [check] = [check for check in CHECKS if check.name == name]
    return check.outcome(installation)


def faults(name: str, installation: Installation) -> set[str]:
    """The faults that a check finds, as `check.fault`. It must have been asked."""
    found = outcome(name, installation)
    assert found.state != "not asked", found.says
    return {f"{name}.{fault.name}" for fault in found.faults}
