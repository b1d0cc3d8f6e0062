"""Asks for a feed, within limits of size and time, and says in our own words where something is wrong.

A feed of the internet cannot lead to the machine's own network: its redirects are followed to public addresses only.
One that is on that network itself, as FEEDS may say, leads where it likes. The proxy that the environment may name
(http_proxy) is not used: it would be the proxy's address that is looked at, and not where it leads.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import ipaddress
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from services.rollup.download import (
    USER_AGENT,
    Limits,
    Metered,
    NotFetched,
    NotThere,
    Redirects,
    add_credentials,
    in_words,
)

# A long feed of whole texts has 3 MB, and takes 0.2 s to read; hostile ones of this size take 10.
LIMIT_BYTES = 5_000_000
WITHIN_S = 10.0
SILENCE_S = 5.0
MAX_CONDITION = 1_000  # of an ETag: a longer one is not kept
ACCEPT = "application/atom+xml, application/rss+xml, application/rdf+xml, application/xml;q=0.9, */*;q=0.5"
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_DIRECTLY = urllib.request.ProxyHandler({})


class Condition(NamedTuple):
    """By which a feed says that nothing is new."""

    etag: str | None = None
    last_modified: str | None = None


class Answer(NamedTuple):
    """A feed as it came, unpacked."""

    content: bytes
    address: str  # where it was found in the end
    content_type: str
    condition: Condition


def is_public(address: str) -> bool:
    """Whether an address is of the internet; of one of IPv6 that stands for one of IPv4, whether that is."""
    peer = ipaddress.ip_address(address)
    if not isinstance(peer, ipaddress.IPv6Address):
        return peer.is_global
    if peer in _NAT64:
        return ipaddress.IPv4Address(peer.packed[-4:]).is_global
    inner = peer.ipv4_mapped or peer.sixtofour
    return inner.is_global if inner else peer.is_global and not peer.is_site_local


class _Wires:
    """The connections of one question: where they lead, and that all end in time, however slowly they answer."""

    def __init__(self, limits: Limits) -> None:
        self._began_inside: bool | None = None
        self._numbers: list[int] = []
        self._timer = threading.Timer(limits.until_s - time.monotonic(), self._cut)
        self._timer.daemon = True

    def __enter__(self) -> _Wires:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
        for number in self._numbers:
            os.close(number)

    def joined(self, wire: socket.socket) -> None:
        """Before anything is sent. Raises ``NotFetched``."""
        self._numbers.append(os.dup(wire.fileno()))
        leads_out = is_public(wire.getpeername()[0].partition("%")[0])
        if self._began_inside is None:
            self._began_inside = not leads_out
        elif not (leads_out or self._began_inside):
            raise NotFetched("it redirects to an address that is not public")

    def _cut(self) -> None:
        for number in list(self._numbers):
            with socket.socket(fileno=os.dup(number)) as wire, contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    """Tells of its wire as soon as there is one, before TLS."""

    joined: Callable[[socket.socket], None]

    def connect(self) -> None:
        super().connect()
        self.joined(self.sock)


class _TlsConnection(http.client.HTTPSConnection, _Connection):
    """The same with TLS, which begins once ``_Connection.connect`` is done."""


class _Http(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens connections that tell of their wires."""

    def __init__(self, wires: _Wires) -> None:
        super().__init__()
        self._wires = wires

    def _maker(self, kind: type[_Connection]) -> Callable[..., _Connection]:
        def make(host: str, **options: Any) -> _Connection:
            connection = kind(host, **options)
            connection.joined = self._wires.joined
            return connection

        return make

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._maker(_Connection), req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(self._maker(_TlsConnection), req)


@contextlib.contextmanager
def _too_late_is_said(limits: Limits) -> Iterator[None]:
    """A wire that was cut looks like an end, or like any error."""
    try:
        yield
    except (NotFetched, OSError):
        if limits.are_over:
            raise limits.too_long() from None
        raise
    if limits.are_over:
        raise limits.too_long()


def _question(address: str, known: Condition) -> urllib.request.Request:
    headers = {"User-Agent": USER_AGENT, "Accept": ACCEPT, "Accept-Encoding": "gzip"}
    if known.etag:
        headers["If-None-Match"] = known.etag
    if known.last_modified:
        headers["If-Modified-Since"] = known.last_modified
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    # The library would take a user for a part of the host's name, and ask the name server for it.
    request = urllib.request.Request(parts._replace(netloc=host).geturl(), headers=headers)  # noqa: S310 - the setting: http(s)
    if at:
        name, _, password = user.partition(":")
        add_credentials(request, (unquote(name), unquote(password)))
    return request


def fetch(address: str, known: Condition, within_s: float = WITHIN_S) -> Answer | None:
    """The feed; None: it has not changed. Blocks for ``within_s`` at most. Raises ``NotFetched``."""
    limits = Limits(time.monotonic() + within_s, within_s, LIMIT_BYTES)
    try:
        with _Wires(limits) as wires, _too_late_is_said(limits), in_words():
            opener = urllib.request.build_opener(_DIRECTLY, Redirects, _Http(wires))
            with opener.open(_question(address, known), timeout=min(SILENCE_S, within_s)) as answer:
                return _read(answer, limits)
    except NotThere:
        raise NotFetched("HTTP status 404") from None
    except NotFetched as error:
        if error.status == http.client.NOT_MODIFIED and any(known):
            return None
        raise


def _read(answer: http.client.HTTPResponse, limits: Limits) -> Answer:
    encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
    body = Metered(answer.read1, limits)
    if encoding in ("gzip", "x-gzip"):
        body = Metered(gzip.GzipFile(fileobj=body, mode="rb").read, limits)  # type: ignore[call-overload]
    elif encoding not in ("", "identity"):
        raise NotFetched("it is packed in a way that was not asked for")
    content = body.read(LIMIT_BYTES + 1)
    kept = (answer.headers.get(name) or "" for name in ("ETag", "Last-Modified"))
    condition = Condition(*(text if 0 < len(text) <= MAX_CONDITION else None for text in kept))
    return Answer(content, answer.geturl(), answer.headers.get("Content-Type", ""), condition)
