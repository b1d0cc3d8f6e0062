"""Canary addresses and User-Agents go through the whole stack; then every file, table, log and metric is searched."""

from __future__ import annotations

import base64
import ipaddress
import json
import re
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
import redis

from tests.system.stack import BROWSER, Stack, wait_until

pytestmark = pytest.mark.system

ADDRESSES = ("198.51.100.77", "203.0.113.201", "2001:db8:cafe:77::beef", "::ffff:198.51.100.99")
AGENT = BROWSER.replace("Windows NT 10.0", "Windows NT 10.0; CanaryAgent/77.7.7")
BOT = "CanaryCrawler/8.8.8 (+https://canary-crawler.example/about)"


def spellings() -> Iterator[bytes]:
    """What the canaries could look like in a file."""
    for text in ADDRESSES:
        address = ipaddress.ip_address(text)
        mapped = getattr(address, "ipv4_mapped", None)
        for known in {str(address), address.exploded, *([str(mapped)] if mapped else [])}:
            yield known.encode()
            # Without the two ends, which depend on what stands around it.
            yield base64.b64encode(known.encode())[:-4]
            yield known.encode().hex().encode()
    for text in ("CanaryAgent", "CanaryCrawler", "canary-crawler.example"):
        yield text.encode()
        yield text.encode().hex().encode()
        for shift in range(3):
            yield base64.b64encode(b"x" * shift + text.encode() + b"xxx")[4:-4]


def raw_request(stack: Stack, data: bytes) -> None:
    """Bytes that are no good HTTP."""
    port = int(stack.pixel_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(data)
        connection.settimeout(3)
        try:
            while connection.recv(4096):
                pass
        except TimeoutError:
            pass


def send_canaries(stack: Stack) -> int:
    """Good, bad, malformed, excluded, refused; the number of accepted hits."""
    accepted = 0
    for address in ADDRESSES:
        for agent in (AGENT, BOT):
            for number in range(5):
                query = urlencode({"url": f"https://blog.example/{number}", "title": "t"})
                status, headers, _ = stack.get(f"/a?{query}", X_Forwarded_For=address, User_Agent=agent)
                assert (status, headers["X-Footfall"]) == (204, "accepted")
                accepted += 1
        sent = {"X_Forwarded_For": address, "User_Agent": AGENT}
        assert stack.get("/a?url=nonsense", **sent)[0] == 400
        assert stack.get("/a?url=http://localhost/", **sent)[0] == 204
        assert stack.get("/a?url=https://blog.example/&id=x", **sent)[0] == 400
        assert stack.get("/nothing", **sent)[0] == 404
        head = f"X-Forwarded-For: {address}\r\nUser-Agent: {AGENT}\r\nHost: x\r\n".encode()
        raw_request(stack, b"GET /a?url=https://blog.example/ HTTP/9.9\r\n" + head + b"\r\n")
        raw_request(stack, b"BREW /a HTTP/1.1\r\n" + head + b"Bad header\x01\r\n\r\n")
        raw_request(stack, b"POST /a HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n")
        raw_request(
            stack, b"POST /a HTTP/1.1\r\n" + head + b"Content-Length: 10\r\nConnection: close\r\n\r\n{"
        )
    return accepted


def everything_written(stack: Stack) -> Iterator[tuple[str, bytes]]:
    """Every file of the data directory, every table, every metric, every key of Redis."""
    for path in sorted(stack.data_dir.rglob("*")):
        # Programs and the country database were there before anybody came.
        if path.is_file() and not path.is_relative_to(stack.data_dir / "servers") and path.suffix != ".mmdb":
            yield str(path.relative_to(stack.data_dir)), path.read_bytes()
    tables = stack.query(
        "select quote_ident(schemaname) || '.' || quote_ident(tablename) from pg_tables"
        " where schemaname !~ '^(pg_|information)'"
    )
    for (name,) in tables:
        rows = stack.query(f"select coalesce(string_agg(t::text, E'\\n'), '') from {name} t")
        yield name, rows[0][0].encode()
    for name, url in stack.urls.items():
        if name.endswith("METRICS_URL"):
            try:
                with urllib.request.urlopen(url, timeout=2) as answer:
                    yield name, answer.read()
            except TimeoutError:
                assert name == "ENRICHER_METRICS_URL"  # it is stopped while hits wait


@pytest.fixture(scope="module")
def searched(make_stack: Callable[..., Stack]) -> tuple[Stack, int]:
    """A stack through which the canaries have gone."""
    stack = make_stack(TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT="0")
    # While the enricher is away, hits wait on the stream, and in its file.
    stack.kill("enricher", 19)  # SIGSTOP
    accepted = send_canaries(stack)
    client = redis.Redis.from_url(stack.urls["REDIS_URL"])
    assert client.xlen("footfall:hits") > 0
    return stack, accepted


def test_waiting_hits_name_nobody(searched: tuple[Stack, int]) -> None:
    stack, _ = searched
    found = [(name, s) for name, data in everything_written(stack) for s in spellings() if s in data]
    assert found == []


def test_stored_hits_name_nobody(searched: tuple[Stack, int]) -> None:
    stack, accepted = searched
    # An entry that is nothing, and one whose seal is broken: buried without the person.
    client = redis.Redis.from_url(stack.urls["REDIS_URL"])
    client.xadd("footfall:hits", {"g": b"\x00garbage"})
    client.xadd("footfall:hits", {"other": "field"})
    stack.kill("enricher", 18)  # SIGCONT
    wait_until(lambda: stack.query("select count(*) from hits") == [(accepted,)])
    wait_until(lambda: stack.query("select sum(hits)::int from dead_letters") == [(2,)])
    wait_until(lambda: client.xlen("footfall:hits") == 0)
    wait_until(lambda: not stack.query("select 1 from rollup_pending"))
    found = [(name, s) for name, data in everything_written(stack) for s in spellings() if s in data]
    assert found == []
    assert stack.query("select count(distinct session_id) from hits") == [(len(ADDRESSES) * 2,)]
    assert stack.query("select sum(accepted)::int, sum(dead_lettered)::int from ledger") == [
        (accepted + 2, 2)
    ]
    done = stack.make("check", check=False)
    assert done.returncode == 0, done.stdout


def test_the_search_finds_what_is_there(searched: tuple[Stack, int]) -> None:
    """The test above can fail: a canary that is put into a file is found."""
    stack, _ = searched
    planted = stack.data_dir / "planted"
    try:
        planted.write_text(json.dumps({"address": base64.b64encode(ADDRESSES[0].encode()).decode()}))
        names = [name for name, data in everything_written(stack) for s in spellings() if s in data]
    finally:
        planted.unlink()
    assert names == ["planted"]


def test_no_log_line_holds_an_address(searched: tuple[Stack, int]) -> None:
    stack, _ = searched
    for text in (stack.log.read_text(), *(p.read_text() for p in (stack.data_dir / "log").glob("*.log"))):
        addresses = set(re.findall(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", text))
        assert addresses <= {"127.0.0.1", "0.0.0.0"}, addresses  # noqa: S104


def test_pg_dump_names_nobody(searched: tuple[Stack, int]) -> None:
    stack, _ = searched
    try:
        dump = subprocess.run(
            ["pg_dump", stack.urls["OWNER_DATABASE_URL"]], capture_output=True, check=True, timeout=60
        ).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no pg_dump that fits the server: {error}")
    assert [s for s in spellings() if s in dump] == []
