"""The answer that is rendered once, beside every kind of request that needs another: seen on the wire."""

from __future__ import annotations

import socket

import pytest

from tests.system.stack import BROWSER, Stack

pytestmark = pytest.mark.system
HIT = "/a?url=https://blog.example/wire"


def exchange(stack: Stack, *requests: str) -> bytes:
    """Send requests over one connection, all at once; what comes back until it is closed or quiet."""
    port = int(stack.pixel_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall("".join(requests).encode())
        connection.settimeout(1)
        answer = b""
        try:
            while part := connection.recv(65_536):
                answer += part
        except TimeoutError:
            return answer + b"<still open>"
        return answer + b"<closed>"


def request(line: str, *headers: str) -> str:
    return "\r\n".join((line, "Host: pixel.example", f"User-Agent: {BROWSER}", *headers, "", ""))


def test_keep_alive_is_kept(stack: Stack) -> None:
    answer = exchange(stack, request(f"GET {HIT} HTTP/1.1"))
    assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert b"X-Footfall: accepted\r\n" in answer
    assert b"\r\nDate: " in answer
    assert answer.endswith(b" GMT\r\n\r\n<still open>")
    assert b"Content-Length" not in answer


def test_pipelined_requests_are_answered_in_order(stack: Stack) -> None:
    answer = exchange(
        stack,
        request(f"GET {HIT} HTTP/1.1"),
        request("GET /livez HTTP/1.1"),
        request(f"GET /a.gif{HIT[2:]} HTTP/1.1"),
        request("GET /a HTTP/1.1"),
        request(f"GET {HIT} HTTP/1.1"),
    )
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"204", b"200", b"200", b"400", b"204"]


def test_a_post_is_answered_and_the_connection_goes_on(stack: Stack) -> None:
    body = '{"url": "https://blog.example/wire"}'
    post = request("POST /a HTTP/1.1", f"Content-Length: {len(body)}") + body
    answer = exchange(stack, post, request("GET /livez HTTP/1.1"))
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"204", b"200"]
