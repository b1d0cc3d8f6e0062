"""The ways that a canary can go: good, bad, malformed, delayed, spooled, dead-lettered, crashed.

What is then on disk is ``canary_places``'s.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import redis

from services.hit import RawHit, encode_group
from services.hit_stream import FIELD, STREAM
from services.sealing import SealingKeys, hour_name
from tests.system.canaries import SITE, Canary, make_canary
from tests.system.canary_places import client_of, spool_of
from tests.system.stack import Stack, wait_until

RATE_LIMIT = 30
ADDRESS_HEADERS = (
    "X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "True-Client-IP",
    "X-Client-IP", "Client-IP", "X-Cluster-Client-IP", "Fastly-Client-IP", "X-Original-Forwarded-For", "X-Forwarded",
    "X-ProxyUser-Ip", "X-Remote-Addr", "X-Envoy-External-Address", "Via", "From", "Warning", "X-Request-ID",
)  # fmt: skip
AGENT_HEADERS = ("X-Original-User-Agent", "X-Device-User-Agent", "X-OperaMini-Phone-UA", "Sec-CH-UA")
KINDS = ("v4", "v6", "mapped")
CANARIES: dict[str, Canary] = {}


def canary(name: str, kind: str = "v4") -> Canary:
    """The canary of a way; noted, so that it is searched for."""
    return CANARIES.setdefault(name, make_canary(name, kind))


def _named(address: str, header: str) -> str:
    """An address as a header names it."""
    if header == "Forwarded":
        return f'for="[{address}]";proto=https' if ":" in address else f"for={address};proto=https"
    return f"1.1 {address}" if header == "Via" else address


def ask(
    stack: Stack, agent: str, target: str, *headers: tuple[str, str], method: str = "GET", peer: str = "127.0.0.1",
    body: bytes | None = None,
) -> int:  # fmt: skip
    """A request from an address of this machine; its status, 0 when the pixel went away."""
    port = int(stack.pixel_url.rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20, source_address=(peer, 0))
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        connection.putheader("User-Agent", agent)
        for name, value in headers:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def page(path: str = "/", **parameters: str) -> str:
    """What the pixel is asked for."""
    return "/a?" + urlencode({"url": f"https://{SITE}{path}", "title": "A title", **parameters})


def forwarded(who: Canary) -> tuple[str, str]:
    """The header that is believed."""
    return ("X-Forwarded-For", who.address)


def send(stack: Stack, who: Canary, target: str = "", **options: Any) -> int:
    """A request that a trusted proxy sends on."""
    return ask(stack, who.agent, target or page(), forwarded(who), **options)


def send_good(stack: Stack) -> None:
    """Hits that are counted: each kind of address, each method, each header, believed or not."""
    for kind in KINDS:
        who = canary(f"good {kind}", kind)
        assert send(stack, who) == 204
        assert send(stack, who, page("/image").replace("/a?", "/a.gif?")) == 200
        body = json.dumps({"url": f"https://{SITE}/json", "event": "signup", "props": {"plan": "a"}}).encode()
        assert send(stack, who, "/a", method="POST", body=body) == 204
        assert ask(stack, who.bot_agent, page(), forwarded(who)) == 204
        bare = ("Referer", f"https://{SITE}/bare")
        assert ask(stack, who.agent, "/a.gif", forwarded(who), bare, ("Cookie", "isMe=true")) == 200
        assert ask(stack, who.agent, page(), forwarded(who), ("Sec-GPC", "1")) == 204
    for trusted in (True, False):
        for header in ADDRESS_HEADERS:
            who = canary(
                f"header {header}, {'trusted' if trusted else 'from anybody'}", "v6" if trusted else "v4"
            )
            peer = "127.0.0.1" if trusted else canary("peer behind headers", "peer").address
            agents = [(name, f'"{who.agent}"') for name in AGENT_HEADERS]
            headers = ((header, _named(who.address, header)), *agents)
            assert ask(stack, who.agent, page("/h"), *headers, peer=peer) in (204, 429)
    who = canary("peer", "peer")
    assert ask(stack, who.agent, page("/peer"), peer=who.address) == 204


def send_bad(stack: Stack) -> None:
    """Requests that are refused, excluded, or are no hits."""
    who = canary("bad")
    expected = {
        "/a?url=nonsense": 400, page(id="x"): 400, "/a": 400, "/nothing": 404, "/me": 200, "/privacy/": 200,
        "/a?url=http://localhost/": 204, "/a?url=file:///etc/passwd": 204, page() + "&x=" + "x" * 8_001: 414,
        "/metrics": 404, "/a.js": 200,
    }  # fmt: skip
    for target, status in expected.items():
        assert send(stack, who, target) == status, target[:60]
    assert ask(stack, who.agent, page(), forwarded(who), ("Sec-Purpose", "prefetch")) == 204
    for method, status in (("HEAD", 204), ("OPTIONS", 204), ("DELETE", 405), ("BREW", 400)):
        assert send(stack, who, method=method) == status, method
    other = canary("bad body", "v6")
    assert send(stack, other, "/a", method="POST", body=b"x" * 70_000) in (0, 413)
    assert send(stack, other, "/a", method="POST", body=b'{"url": [1]}') == 400
    assert send(stack, other, "/me", method="POST", body=b"") == 403
    many = canary("too many")
    assert {send(stack, many) for _ in range(RATE_LIMIT + 5)} == {204, 429}


def send_malformed(stack: Stack) -> None:
    """Bytes that are no good HTTP, from peers of their own, with the canary in the headers too."""
    heads = (
        "GET /a?url=https://blog.example/ HTTP/9.9\r\n{}\r\n",
        "BREW /a HTTP/1.1\r\n{}Bad header\x01\r\n\r\n",
        "POST /a HTTP/1.1\r\n{}Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        "POST /a HTTP/1.1\r\n{}Content-Length: 10\r\nConnection: close\r\n\r\n{{",
        "POST /a HTTP/1.1\r\n{}Content-Length: x\r\n\r\n",
        "POST /a HTTP/1.1\r\n{}Content-Length: 4\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\nabcd",
        "GET /a\r\n{}\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03{}",
        "GET /a?url=%ff%fe\x80 HTTP/1.1\r\n{}X: " + "y" * 40_000 + "\r\n\r\n",
    )
    port = int(stack.pixel_url.rpartition(":")[2])
    for number, head in enumerate(heads):
        who = canary(f"malformed {number}", "peer")
        lines = f"Host: x\r\nX-Forwarded-For: {who.address}\r\nUser-Agent: {who.agent}\r\n"
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 5, source_address=(who.address, 0)) as wire,
        ):
            wire.sendall(head.format(lines).encode("latin-1"))
            wire.shutdown(socket.SHUT_WR)
            while wire.recv(4096):
                pass


def send_spooled(stack: Stack) -> None:
    """Hits while Redis stands still, on disk; then the pixel is killed in the middle of writing another."""
    names = [f"spooled {number}" for number in range(6)] + ["sabotaged spool"]
    assert [send(stack, canary(name, "v6")) for name in names] == [204] * len(names)
    pixel = stack.kill("pixel", signal.SIGSTOP)
    written = spool_of(stack).read_bytes()
    assert written
    with spool_of(stack).open("ab") as spool:
        spool.write(written[: len(written) // 2 + 3])  # the last record is torn
    os.kill(pixel, signal.SIGKILL)
    wait_until(lambda: stack.pid("pixel") != pixel, 60)


def pixel_host() -> str:
    """Where the pixel listens: for IPv6, and with it IPv4 as mapped addresses, where this machine has it."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return "::"
    return "127.0.0.1"


def is_up(stack: Stack) -> bool:
    """Whether the pixel answers."""
    return ask(stack, "nobody", "/livez") == 200


def put_dead(stack: Stack) -> None:
    """Entries that cannot become rows: nothing, a broken seal, and real hits that are refused."""
    client = client_of(stack)
    client.xadd(STREAM, {FIELD: b"\x00garbage"})
    client.xadd(STREAM, {"other": "field"})
    hits = {name: _raw_hit(canary(name), **odd) for name, odd in ODD_HITS.items()}
    keys = SealingKeys(stack.data_dir / "keys")
    for number, hit in enumerate((*hits.values(), _raw_hit(canary("broken seal"))), 1):
        name = hour_name(time.time())
        data = encode_group([hit], pixel_id=uuid.uuid4().bytes, seq=1, key_name=name, sealer=keys)
        # Of what is sealed, which is all but the last field.
        client.xadd(
            STREAM, {FIELD: data if number <= len(hits) else data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]}
        )


# What a pixel of another version, or a forger with the key, could write.
ODD_HITS: dict[str, dict[str, Any]] = {
    "no address of a page": {"url": "nonsense", "referrer": "nonsense"},
    "sabotaged dead letter": {"url": "nonsense"},
    "refused by PostgreSQL": {"title": "NUL \0"},
    "too late": {"day": "2020-01-01"},
    "ahead": {"received_at_us": 4_000_000_000_000_000, "day": "2096-10-02"},
    "no time": {"day": "2026-02-30"},
}


def _raw_hit(who: Canary, **odd: Any) -> RawHit:
    now_us = time.time_ns() // 1_000
    values: dict[str, Any] = {
        "hit_id": uuid.uuid4().bytes,
        "received_at_us": now_us,
        "day": time.strftime("%Y-%m-%d", time.gmtime(now_us // 1_000_000)),
        "site": SITE,
        "url": f"https://{SITE}/",
        "address": who.address,
        "user_agent": who.agent,
    }
    return RawHit(**(values | odd))


def kill_in_the_middle(stack: Stack) -> None:
    """SIGKILL of the pixel with requests half sent and half answered, of enricher, Redis and PostgreSQL at work."""
    half = canary("half a body", "peer")
    port = int(stack.pixel_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5, source_address=(half.address, 0)) as wire:
        wire.sendall(f"POST /a HTTP/1.1\r\nUser-Agent: {half.agent}\r\nContent-Length: 99\r\n\r\n{{".encode())
        crowd = [canary(f"killed pixel {number}", "v6") for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            answers = [pool.submit(send, stack, who, page("/crowd")) for who in crowd * 3]
            wait_until(lambda: any(answer.done() for answer in answers))
            stack.kill("pixel")
    wait_until(lambda: is_up(stack), 60)
    for name in ("enricher", "redis", "postgres"):
        who = canary(f"killed {name}")
        for _ in range(5):
            send(stack, who, page("/killed"))
        stack.kill(name)
    wait_until(lambda: is_calm(stack), 60)


def fail(stack: Stack) -> None:
    """Errors whose text quotes the person, at every place where the copy of the product has one (``FAULTS``)."""
    for name, status in (("pixel fails", 503), ("group fails", 503), ("task fails", 204), ("library logs", 204),
                         ("hit fails", 204), ("enricher fails", 204)):  # fmt: skip
        assert send(stack, canary(name, "v6")) == status, name
    keys = stack.data_dir / "keys"
    away = keys.rename(keys.with_name("keys-away"))
    try:
        assert send(stack, canary("no keys")) == 503
    finally:
        away.rename(keys)


def send_sabotaged(stack: Stack) -> None:
    """The canaries by which sabotages of the product are told apart; in a whole product they are hits like others."""
    for name in ("sabotaged seal", "sabotaged session", "sabotaged metric", "sabotaged access log"):
        assert send(stack, canary(name)) == 204


def is_calm(stack: Stack) -> bool:
    """Whether nothing waits."""
    with contextlib.suppress(redis.RedisError):
        waiting = client_of(stack).xlen(STREAM) or spool_of(stack).stat().st_size
        return not waiting and not stack.query("select 1 from rollup_pending")
    return False


def plant_old_keys(stack: Stack) -> None:
    """Keys of an hour and a day that are over and enriched."""
    now_s = time.time()
    old = [
        f"seal-{hour_name(now_s - 3 * 3_600)}",
        time.strftime("session-%Y-%m-%d", time.gmtime(now_s - 3 * 86_400)),
    ]
    for name in old:
        path = stack.data_dir / f"keys/{name}.key"
        path.touch(0o600)
        path.write_bytes(os.urandom(32))
