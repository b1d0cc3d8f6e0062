"""Asks for a feed and reads it: what is new of it, within limits, and in our own words where something is wrong.

What comes is never quoted, and the parser is given bytes: by itself it would open what looks like an address or the
name of a file. A feed of the internet cannot lead to the machine's own network: its redirects are followed to public
addresses only. One that is on that network itself, as FEEDS may say, leads where it likes.
"""

from __future__ import annotations

import calendar
import contextlib
import datetime
import gzip
import html
import http.client
import io
import ipaddress
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit
from xml.sax import SAXException

import feedparser

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
# The newest of them: more are of no use to a list of ten, and each is a row that is never deleted.
MAX_ENTRIES = 300
MAX_TITLE = 200
MAX_URL = 2_048  # as the pixel cuts the address of a page
MAX_CONDITION = 1_000  # of an ETag: a longer one is not kept
# Before that nobody had a feed; and a post may be announced, not dated at random.
FIRST_YEAR = 1990
ACCEPT = "application/atom+xml, application/rss+xml, application/rdf+xml, application/xml;q=0.9, */*;q=0.5"
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_TAG = re.compile(r"<[^<>]*>")

PageOf = Callable[[str], tuple[str, str, str] | None]


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


class Post(NamedTuple):
    """An entry that is a page of one of the sites."""

    site: str
    host: str
    path: str
    title: str
    url: str
    published_at: datetime.datetime


class Entries(NamedTuple):
    """What a feed holds."""

    posts: list[Post]  # newest first, one a page
    entries: int
    skipped: int  # without a date, or without a link to a page of one of the sites


def names_of(addresses: Sequence[str]) -> dict[str, str]:
    """The addresses by names that may be shown: host and path, numbered where several are alike."""
    names: dict[str, str] = {}
    for address in dict.fromkeys(addresses):
        parts = urlsplit(address)
        place = name = f"{parts.netloc.rpartition('@')[2]}{parts.path}"
        number = 1
        while name in names:
            number += 1
            name = f"{place} ({number})"
        names[name] = address
    return names


# Asking -------------------------------------------------------------------------------------------------------------


def _is_public(address: str) -> bool:
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
        is_public = _is_public(wire.getpeername()[0].partition("%")[0])
        if self._began_inside is None:
            self._began_inside = not is_public
        elif not (is_public or self._began_inside):
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
            opener = urllib.request.build_opener(Redirects, _Http(wires))
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


# Reading ------------------------------------------------------------------------------------------------------------


def read(answer: Answer, page_of: PageOf, now: datetime.datetime) -> Entries:
    """The posts of a feed. ``page_of``: site, host and path of an address, None for others' pages.

    Raises ``NotFetched`` where it is no feed, or a broken one in which no entry can be found.
    """
    parsed = _parsed(answer)
    if not parsed.get("version"):
        raise NotFetched("it is no RSS or Atom feed")
    if not parsed.entries and isinstance(parsed.get("bozo_exception"), SAXException):
        raise NotFetched("its XML is broken")
    found = [_post_of(entry, page_of, now) for entry in parsed.entries]
    posts: dict[tuple[str, str, str], Post] = {}
    for post in sorted(filter(None, found), key=lambda post: post.published_at):
        posts.setdefault(post[:3], post)  # a page that several entries name was published with the first
    newest = sorted(posts.values(), key=lambda post: post.published_at, reverse=True)[:MAX_ENTRIES]
    return Entries(newest, len(found), found.count(None))


def _parsed(answer: Answer) -> Any:
    headers = {"content-location": answer.address, "content-type": answer.content_type}
    # From a file: of bytes the parser would look whether they name one. Texts are not kept, so nothing is cleaned.
    content = io.BytesIO(answer.content)
    try:
        return feedparser.parse(
            content, response_headers=headers, sanitize_html=False, resolve_relative_uris=False
        )
    except Exception as error:  # of a library that is fed by anybody: one feed is not to stop the others
        raise NotFetched(f"the parser fails with it ({type(error).__name__})") from None


def _post_of(entry: Any, page_of: PageOf, now: datetime.datetime) -> Post | None:
    published_at = _published_at(entry, now)
    url = _plain(entry.get("feedburner_origlink") or entry.get("link") or "")
    page = page_of(url) if published_at and len(url) <= MAX_URL else None
    if not (published_at and page):
        return None
    return Post(*page, _title_of(entry) or page[2][:MAX_TITLE], url, published_at)


def _published_at(entry: Any, now: datetime.datetime) -> datetime.datetime | None:
    """Atom may have the time of the last change alone."""
    at = entry.get("published_parsed") or entry.get("updated_parsed")
    if not at or not FIRST_YEAR <= at.tm_year <= now.year + 1:
        return None
    try:
        return datetime.datetime.fromtimestamp(calendar.timegm(at), datetime.UTC)
    except (ValueError, OverflowError):
        return None


def _plain(text: str) -> str:
    """What PostgreSQL takes: no NUL, no half of a character; and in one line."""
    return " ".join(text.replace("\0", "").encode(errors="ignore").decode().split())


def _title_of(entry: Any) -> str:
    """The title without markup."""
    title = str(entry.get("title") or "")
    if "html" in str((entry.get("title_detail") or {}).get("type")):
        title = html.unescape(_TAG.sub("", title))
    return _plain(title)[:MAX_TITLE]
