"""The proxies of docs/tag.md in front of a real stack: whose hit it is, and what they keep of it (nothing)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from tests.browser.devtools import Browser, chromium, find_chromium
from tests.docs.proxies import INDEX, Answer, Proxy, running
from tests.system.stack import BROWSER, Stack, free_ports, wait_until

pytestmark = pytest.mark.system

# This machine's own addresses stand in for people's; the last network is what liars say.
COUNTRIES = {"127.0.0.2/32": "DE", "127.0.0.3/32": "FR", "127.0.0.1/32": "US", "203.0.113.0/24": "JP"}
CLIENTS = {"127.0.0.2": "DE", "127.0.0.3": "FR"}
LIE = "203.0.113.9"
PROXIES = ("nginx", "caddy")
# Host and path of the proxy, and what it is of the pixel.
HITS = (
    ("pixel.example.com", "/a"),
    ("pixel.example.com", "/a.gif"),
    ("blog.example", "/s/a"),
    ("blog.example", "/s/a.gif"),
)
CANARY = BROWSER.replace("Windows NT 10.0", "Windows NT 10.0; CanaryAgent/77.7.7")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the servers' users can enter."""
    with tempfile.TemporaryDirectory(prefix="footfall-proxies-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def pixel(make_stack: Callable[..., Stack], folder: Path) -> Stack:
    """A stack behind a proxy on this machine, in a world whose countries we made."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="country")
    for network, country in COUNTRIES.items():
        writer.insert_network(IPSet([network]), {"country_code": country})
    writer.to_db_file(str(folder / "country.mmdb"))
    return make_stack(
        TRUSTED_PROXIES="127.0.0.1", SITES="blog.example", COUNTRY_DATABASE=str(folder / "country.mmdb")
    )


def port_of(stack: Stack) -> int:
    return int(stack.pixel_url.rstrip("/").rpartition(":")[2])


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request: pytest.FixtureRequest, pixel: Stack, folder: Path) -> Iterator[Proxy]:
    """nginx, then Caddy, in front of the stack."""
    with running(request.param, folder, port_of(pixel)) as proxy:
        yield proxy


def new_page() -> str:
    return f"/post-{uuid.uuid4().hex[:8]}"


def hit(
    proxy: Proxy,
    host: str,
    path: str,
    page: str,
    client: str,
    *headers: tuple[str, str],
    agent: str = BROWSER,
) -> Answer:
    """A hit as a browser sends it."""
    query = urlencode({"url": f"https://blog.example{page}", "title": "A post"})
    return proxy.ask(host, f"{path}?{query}", client, headers=[("User-Agent", agent), *headers])


def rows(stack: Stack, page: str, number: int, columns: str = "country, session_id, is_me") -> list[Any]:
    """The rows of a page, once there are so many."""
    sql = f"select {columns} from hits where path = %s order by received_at"
    wait_until(lambda: len(stack.query(sql, page)) >= number)
    return stack.query(sql, page)


# Whose hit it is --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "path"), HITS)
def test_a_hit_is_its_clients(proxy: Proxy, pixel: Stack, host: str, path: str) -> None:
    page = new_page()
    for client in (*CLIENTS, *CLIENTS):
        answer = hit(proxy, host, path, page, client)
        assert answer.headers["x-footfall"] == "accepted"
        assert answer.status == (200 if path.endswith(".gif") else 204)
    found = rows(pixel, page, 4)
    assert sorted(country for country, _, _ in found) == ["DE", "DE", "FR", "FR"]
    assert len({session for _, session, _ in found}) == 2
    assert all(session for _, session, _ in found)


@pytest.mark.parametrize(("host", "path"), HITS)
@pytest.mark.parametrize(
    "headers",
    [
        [("X-Forwarded-For", LIE)],
        [("X-Forwarded-For", LIE), ("X-Forwarded-For", f"{LIE}, 127.0.0.1")],
        [("x-forwarded-for", f"{LIE}, 127.0.0.1, 127.0.0.1")],
        [("Forwarded", f"for={LIE}"), ("X-Real-IP", LIE), ("True-Client-IP", LIE)],
    ],
    ids=["one", "two lines", "names the proxy", "other headers"],
)
def test_what_a_client_says_of_its_address_is_not_believed(
    proxy: Proxy, pixel: Stack, host: str, path: str, headers: list[tuple[str, str]]
) -> None:
    page = new_page()
    hit(proxy, host, path, page, "127.0.0.2")
    hit(proxy, host, path, page, "127.0.0.2", *headers)
    honest, lying = rows(pixel, page, 2)
    assert honest == lying
    assert lying[0] == "DE"


def test_a_post_comes_through(proxy: Proxy, pixel: Stack) -> None:
    page = new_page()
    big = "x" * 40_000  # more than nginx holds in memory unless it is told
    for host, path in (("pixel.example.com", "/a"), ("blog.example", "/s/a")):
        body = json.dumps({"url": f"https://blog.example{page}", "event": "signup", "more": big}).encode()
        headers = [
            ("User-Agent", BROWSER),
            ("Content-Type", "text/plain"),
            ("Origin", "https://blog.example"),
        ]
        answer = proxy.ask(host, path, "127.0.0.3", method="POST", body=body, headers=headers)
        assert (answer.status, answer.headers["x-footfall"]) == (204, "accepted")
        assert answer.headers["access-control-allow-origin"] == "https://blog.example"
    found = rows(pixel, page, 2, "event, country")
    assert found == [("signup", "FR")] * 2


def test_the_longest_query_comes_through(proxy: Proxy, pixel: Stack) -> None:
    for host, path in HITS:
        query = f"url=https://blog.example{new_page()}&title="
        answer = proxy.ask(host, f"{path}?{query}{'x' * (8_000 - len(query))}", "127.0.0.2")
        assert answer.headers["x-footfall"] == "accepted"


# The script, the site, the owner ----------------------------------------------------------------------------


def test_the_script_is_the_pixels(proxy: Proxy, pixel: Stack) -> None:
    _, _, script = pixel.get("/a.js")
    for host, path in (("pixel.example.com", "/a.js"), ("blog.example", "/s/x.js")):
        answer = proxy.ask(host, path)
        assert (answer.status, answer.body) == (200, script)
        assert answer.headers["content-type"].startswith("text/javascript")


def test_the_site_stays_the_site(proxy: Proxy) -> None:
    assert proxy.ask("blog.example", "/").body.decode() == INDEX
    for path in ("/a.js", "/a", "/s/", "/s/livez", "/metrics", "/me/x"):
        assert proxy.ask("blog.example", path).status == 404


def test_plain_http_is_sent_to_https(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.ports["http"]), timeout=5) as sock:
        answer = proxy.send_bytes(
            sock, b"GET /me HTTP/1.1\r\nHost: pixel.example.com\r\nConnection: close\r\n\r\n"
        )
    assert answer.split()[1] in (b"301", b"308")
    assert b"\nLocation: https://pixel.example.com" in answer


@pytest.mark.parametrize(("host", "path"), HITS)
def test_the_owner_is_known(proxy: Proxy, pixel: Stack, host: str, path: str) -> None:
    assert b"counted like everybody" in proxy.ask(host, "/me").body
    own = [("Origin", f"https://{host}"), ("Sec-Fetch-Site", "same-origin")]
    answer = proxy.ask(host, "/me", method="POST", body=b"", headers=own)
    assert (answer.status, answer.headers["location"]) == (303, "/me")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("isMe=true; Path=/;")
    assert "Secure" in cookie
    sent = ("Cookie", "session=of-the-site; isMe=true; theme=dark")
    assert b"left out of the figures" in proxy.ask(host, "/me", headers=[sent]).body
    page = new_page()
    hit(proxy, host, path, page, "127.0.0.2", sent)
    hit(proxy, host, path, page, "127.0.0.2", ("Cookie", "session=of-the-site"))
    assert [is_me for _, _, is_me in rows(pixel, page, 2)] == [True, False]


async def test_a_browser_finds_its_way_under_the_sites_own_path(proxy: Proxy, pixel: Stack) -> None:
    if find_chromium() is None:
        pytest.skip("no browser")
    page = f"https://blog.example:{proxy.ports['https']}/tagged.html"
    sql = "select country, is_me, title from hits where path = '/tagged.html' and received_at > %s"
    ((begun,),) = pixel.query("select clock_timestamp()")
    with chromium("--ignore-certificate-errors") as address:
        async with Browser.connect(address) as browser:
            tab = await browser.new_tab()
            await tab.open(page)
            await asyncio.to_thread(wait_until, lambda: pixel.query(sql, begun))
            await tab.evaluate("document.cookie = 'isMe=true; path=/; secure'")
            await tab.open(page)
            await asyncio.to_thread(wait_until, lambda: len(pixel.query(sql, begun)) > 1)
            asked = [url for url in tab.requests if not url.endswith("/favicon.ico")]
    assert sorted(pixel.query(sql, begun)) == [("US", False, "The blog"), ("US", True, "The blog")]
    assert all(url.startswith(page.removesuffix("tagged.html")) for url in asked)


@pytest.mark.parametrize("host", ["pixel.example.com", "blog.example"])
@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Origin", "https://evil.example")],
        [("Origin", "null")],
        [("Origin", "https://127.0.0.1:8000")],
        [("Origin", "https://evil.example"), ("X-Forwarded-Host", "evil.example")],
    ],
)
def test_another_site_cannot_press_the_button(
    proxy: Proxy, host: str, headers: list[tuple[str, str]]
) -> None:
    assert proxy.ask(host, "/me", method="POST", body=b"", headers=headers).status == 403


# What the pixel gets ----------------------------------------------------------------------------------------


class Recording(BaseHTTPRequestHandler):
    """Answers like the pixel and keeps what came: its path, its headers, its connection."""

    protocol_version = "HTTP/1.1"
    arrivals: list[tuple[str, list[tuple[str, str]], Any]]

    def do_GET(self) -> None:
        headers = [(name.lower(), value) for name, value in self.headers.items()]
        self.arrivals.append((self.path, headers, self.client_address))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(params=PROXIES)
def recorded(
    request: pytest.FixtureRequest, folder: Path
) -> Iterator[tuple[Proxy, list[tuple[str, list[tuple[str, str]], Any]]]]:
    """A proxy in front of something that keeps what it is sent."""
    arrivals: list[Any] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Recording,), {"arrivals": arrivals}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with running(request.param, folder, server.server_port) as proxy:
            arrivals.clear()
            yield proxy, arrivals
    finally:
        server.shutdown()
        server.server_close()


def test_the_pixel_gets_one_address_and_the_owners_cookie(recorded: tuple[Proxy, list[Any]]) -> None:
    proxy, arrivals = recorded
    sent = [("X-Forwarded-For", LIE), ("X-Forwarded-For", LIE), ("X-Forwarded-Proto", "http"),
            ("Cookie", "session=secret; isMe=true"), ("User-Agent", BROWSER)]  # fmt: skip
    for host, path, _ in (*((*item, "") for item in HITS), ("blog.example", "/me", "")):
        arrivals.clear()
        proxy.ask(host, f"{path}?url=x%2Fy&s=/s/x.js%20", "127.0.0.3", headers=sent)
        ((got_path, headers, _),) = arrivals
        assert got_path == f"{path.removeprefix('/s')}?url=x%2Fy&s=/s/x.js%20"
        values = {name: [v for n, v in headers if n == name] for name, _ in headers}
        assert values["x-forwarded-for"] == ["127.0.0.3"]
        assert values["x-forwarded-proto"] == ["https"]
        assert values["host"] == [host]
        assert values["user-agent"] == [BROWSER]
        own = ["isMe=true"] if host == "blog.example" else ["session=secret; isMe=true"]
        assert values["cookie"] == own


def test_connections_to_the_pixel_are_kept(recorded: tuple[Proxy, list[Any]]) -> None:
    proxy, arrivals = recorded
    for _ in range(10):
        proxy.ask("pixel.example.com", "/a", "127.0.0.2")
    assert len(arrivals) == 10
    assert len({peer for _, _, peer in arrivals}) == 1


# What the proxies keep --------------------------------------------------------------------------------------

CANARIES = ("127.0.0.2", "127.0.0.3", LIE, "CanaryAgent", "canary-page")


def send_canaries(proxy: Proxy) -> list[int]:
    """Good requests, and all that could be an error; the statuses of the good ones."""
    statuses = []
    for client in CLIENTS:
        for host, path in (("pixel.example.com", "/a"), ("blog.example", "/s/a")):
            headers = (("X-Forwarded-For", LIE), ("Referer", "https://blog.example/canary-page"))
            statuses.append(hit(proxy, host, path, "/canary-page", client, *headers, agent=CANARY).status)
            send_bad_requests(proxy, host, path, client)
        with contextlib.suppress(OSError), proxy.connect("unknown.example", client) as sock:
            proxy.send_bytes(sock, b"GET /canary-page HTTP/1.1\r\nHost: unknown.example\r\n\r\n")
        for port in proxy.ports.values():
            for data in (
                f"GET /canary-page HTTP/1.1\r\nHost: pixel.example.com\r\nUser-Agent: {CANARY}\r\n\r\n".encode(),
                b"\x16\x03\x01\x00\x05canary-page",
                os.urandom(64) + b"\r\n\r\n",
            ):
                address = ("127.0.0.1", port)
                with socket.create_connection(address, timeout=5, source_address=(client, 0)) as plain:
                    proxy.send_bytes(plain, data)
    return statuses


def send_bad_requests(proxy: Proxy, host: str, path: str, client: str) -> None:
    """Malformed, too long, cut off."""
    line = f"{path}?url=https://blog.example/canary-page"
    head = f"Host: {host}\r\nUser-Agent: {CANARY}\r\nX-Forwarded-For: {LIE}\r\nConnection: close\r\n".encode()
    long = b"X-Long: " + b"x" * 100_000 + b"\r\n"
    for data in (
        f"GET {line} HTTP/9.9\r\n".encode() + head + b"\r\n",
        f"BREW\x01 {line} HTTP/1.1\r\n".encode() + head + b"\r\n",
        f"GET {line} HTTP/1.1\r\n".encode() + head + b"Bad header\x01\r\n\r\n",
        f"GET {line} HTTP/1.1\r\nUser-Agent: {CANARY}\r\nConnection: close\r\n\r\n".encode(),
        f"GET {line} HTTP/1.1\r\n".encode() + head + long + b"\r\n",
        f"GET {line}{'x' * 40_000} HTTP/1.1\r\n".encode() + head + b"\r\n",
        f"POST {line} HTTP/1.1\r\n".encode() + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        f"POST {line} HTTP/1.1\r\n".encode() + head + b"Content-Length: 200000\r\n\r\n" + b"x" * 200_000,
    ):
        with proxy.connect(host, client) as sock:
            proxy.send_bytes(sock, data)
    # Gone before the body is complete, and before the answer.
    with proxy.connect(host, client) as sock:
        sock.sendall(f"POST {line} HTTP/1.1\r\n".encode() + head + b"Content-Length: 9\r\n\r\n{")
    with proxy.connect(host, client) as sock:
        sock.sendall(f"GET {line} HTTP/1.1\r\n".encode() + head + b"\r\n")


def found_in(text: str) -> dict[str, str]:
    """The canaries in a text, each with what stands around the first."""
    return {
        canary: text[max(0, text.index(canary) - 200) : text.index(canary) + 100]
        for canary in CANARIES
        if canary in text
    }


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_keeps_nobody(name: str, pixel: Stack, folder: Path) -> None:
    with running(name, folder, port_of(pixel)) as proxy:
        assert set(send_canaries(proxy)) == {204}
    assert found_in(proxy.written()) == {}


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_keeps_nobody_while_the_pixel_is_away(name: str, folder: Path) -> None:
    (nobody,) = free_ports(1)
    with running(name, folder, nobody) as proxy:
        assert set(send_canaries(proxy)) == {502}
    assert found_in(proxy.written()) == {}


@pytest.mark.parametrize("name", PROXIES)
@pytest.mark.parametrize("kind", ["access", "errors"])
def test_the_search_finds_what_is_there(name: str, kind: str, folder: Path) -> None:
    """The tests above can fail: without the lines of the page the canaries are in the logs."""
    changes = {
        ("nginx", "access"): ("access_log off;", ""),
        ("nginx", "errors"): ("error_log /dev/null crit;", ""),
        ("caddy", "access"): ("pixel.example.com {", "pixel.example.com {\n\tlog"),
        ("caddy", "errors"): ("exclude http.log.error http.stdlib http.handlers", ""),
    }
    old, new = changes[name, kind]
    (nobody,) = free_ports(1)

    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    with running(name, folder, nobody, change) as proxy:
        send_canaries(proxy)
    assert set(found_in(proxy.written())) >= {"127.0.0.2", "127.0.0.3", "canary-page"}


# The proxy of docker-compose's profile `https` ----------------------------------------------------------------

CADDYFILE = Path(__file__).resolve().parents[2] / "proxy/Caddyfile"


def test_the_proxy_of_compose_hands_over_the_address_and_keeps_nobody(
    pixel: Stack, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_HOST", ", ".join(("pixel.example.com", "blog.example")))
    text = CADDYFILE.read_text().replace("door:8000", "127.0.0.1:8000")
    text = text[text.index("{\n") :].replace("127.0.0.1:2020", f"127.0.0.1:{free_ports(1)[0]}")
    page = new_page()
    with running("caddy", folder, port_of(pixel), blocks=text) as proxy:
        for client in (*CLIENTS, *CLIENTS):
            answer = hit(
                proxy, "pixel.example.com", "/a", page, client, ("X-Forwarded-For", LIE), agent=CANARY
            )
            assert (answer.status, answer.headers["x-footfall"]) == (204, "accepted")
            send_bad_requests(proxy, "pixel.example.com", "/a", client)
        found = rows(pixel, page, 4)
    assert sorted(country for country, _, _ in found) == ["DE", "DE", "FR", "FR"]
    assert len({session for _, session, _ in found}) == 2
    assert found_in(proxy.written()) == {}
