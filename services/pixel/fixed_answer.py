"""An answer to a hit that is rendered once and written as it is, to as many as are to have it.

aiohttp builds each answer's headers anew, at 20 µs of the 60 that a bare request costs. One object of this class
serves all requests: it holds nothing of any of them. The rendered bytes are right for HTTP/1.1 and a method that has
a body only (``connection`` sees to it); every other request gets ``ordinary``, with the same headers.
"""

from __future__ import annotations

from email.utils import formatdate

from aiohttp import web


class FixedAnswer:
    """The bytes of an ordinary answer."""

    def __init__(self, answer: web.Response) -> None:
        self._status = answer.status
        self._headers = answer.headers.copy()
        self._body = answer.body if isinstance(answer.body, bytes) else b""
        headers = [f"{name}: {value}" for name, value in answer.headers.items()]
        if answer.status != 204:
            headers.append(f"Content-Length: {len(self._body)}")
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *headers, "Date: "]
        self._before_date = "\r\n".join(lines).encode("utf-8", "surrogateescape")
        self._second = 0
        self._rendered = b""

    def render(self, now_s: int) -> bytes:
        """The bytes at a second, for a connection that goes on."""
        if now_s != self._second:
            self._second = now_s
            self._rendered = self._render(now_s, b"")
        return self._rendered

    def render_last(self, now_s: int) -> bytes:
        """The bytes at a second, for a connection that ends with them."""
        return self._render(now_s, b"\r\nConnection: close")

    def _render(self, now_s: int, after_date: bytes) -> bytes:
        date = formatdate(now_s, usegmt=True).encode()
        return b"%s%s%s\r\n\r\n%s" % (self._before_date, date, after_date, self._body)

    def ordinary(self) -> web.Response:
        """An answer of aiohttp's, which may be changed."""
        return web.Response(status=self._status, body=self._body or None, headers=self._headers)
