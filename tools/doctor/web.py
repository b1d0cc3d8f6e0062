"""Asks addresses over HTTP, each within limits of time and size; nothing secret is ever sent.

Certificates are looked at by ``certificate``, and by it alone: what answers behind a bad one is looked at all the
same. A redirect is followed where it is wanted, to another host only if that is on the internet: an address that the
operator did not name cannot lead to the machine's own network. A proxy of the environment (http_proxy) is not used.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from services.rollup.feed_question import is_public

WITHIN_S = 8.0
LIMIT_BYTES = 3_000_000  # a page of the web has 0.1
MAX_REDIRECTS = 4
AGENT = "footfall-doctor"
REDIRECTS = (301, 302, 303, 307, 308)


class NoAnswer(Exception):
    """Nothing answers, or not in time; the text says what happened, without the address."""


class NotPublic(NoAnswer):
    """It leads into a network that is not the internet, and was not named by the operator."""


class Answer(NamedTuple):
    """An answer. Header names are in lower case, several lines of one joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    address: str
    asked_at_s: float  # Unix time by this machine: the answer's head was made between both
    answered_at_s: float

    @property
    def text(self) -> str:
        """The body as text; what is no UTF-8 is replaced."""
        return self.body.decode("utf-8", "replace")


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _target(address: str) -> tuple[bool, str, int, str]:
    parts = urlsplit(address)
    is_tls = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    path = quote(path, safe="!$%&'()*+,/:;=?@[]~")
    return is_tls, parts.hostname or "", parts.port or (443 if is_tls else 80), path


@contextlib.contextmanager
def _cut_after(wire: socket.socket, seconds: float) -> Iterator[None]:
    """A server that answers byte by byte ends with the time, too."""

    def cut() -> None:
        with contextlib.suppress(OSError):
            wire.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    began_s = time.monotonic()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        # A wire that was cut looks like any end.
        is_late = isinstance(error, TimeoutError) or time.monotonic() - began_s >= WITHIN_S
        raise NoAnswer(f"no answer within {WITHIN_S:g} s" if is_late else _why(error)) from None


def _why(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known to the name server"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails ({error.reason})"
    return getattr(error, "strerror", None) or type(error).__name__


def ask(
    address: str,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    *,
    on_internet: bool = False,
) -> Answer:
    """The answer of an address; a redirect is an answer. Raises ``NoAnswer``.

    ``on_internet``: only if it leads there.
    """
    try:
        is_tls, host, port, path = _target(address)
        parts = {"User-Agent": AGENT, "Accept": "*/*", "Connection": "close", **(headers or {})}
        with _in_words(), socket.create_connection((host, port), timeout=WITHIN_S) as wire:
            if on_internet and not is_public(wire.getpeername()[0].partition("%")[0]):
                raise NotPublic("it leads to an address that is not on the internet")
            with _cut_after(wire, WITHIN_S):
                made = _trusting().wrap_socket(wire, server_hostname=host) if is_tls else wire
                return _asked(made, (address, host, port), method, path, parts, body)
    except ValueError:  # of a host or port that is none
        raise NoAnswer("it is no web address") from None


def _asked(
    wire: socket.socket,
    at: tuple[str, str, int],
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes | None,
) -> Answer:
    address, host, port = at
    # Its port is what `Host` is made of.
    kind = http.client.HTTPSConnection if isinstance(wire, ssl.SSLSocket) else http.client.HTTPConnection
    connection = kind(host, port)
    connection.sock = wire
    began_s = time.time()
    connection.request(method, path, body=body, headers=dict(headers))
    answer = connection.getresponse()
    ended_s = time.time()
    lines: dict[str, str] = {}
    for name, value in answer.getheaders():
        known = lines.get(name.lower())
        lines[name.lower()] = f"{known}, {value}" if known else value
    return Answer(answer.status, lines, answer.read(LIMIT_BYTES), address, began_s, ended_s)


def joined(base: str, place: str) -> str:
    """An address as it stands at another; empty: it is none of the web."""
    try:
        address = urljoin(base, place.strip())
        parts = urlsplit(address)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return ""
    return address if is_one else ""


def follow(address: str) -> Answer:
    """The page to which an address leads in the end. Raises ``NoAnswer``."""
    named = urlsplit(address).hostname
    for _ in range(MAX_REDIRECTS + 1):
        answer = ask(
            address, headers={"Accept": "text/html"}, on_internet=urlsplit(address).hostname != named
        )
        place = answer.headers.get("location", "")
        if answer.status not in REDIRECTS or not place:
            return answer
        address = joined(address, place)
        if not address:
            raise NoAnswer("it redirects to what is no web address")
    raise NoAnswer(f"it redirects more than {MAX_REDIRECTS} times")


class Certificate(NamedTuple):
    """What a host shows. ``problem`` is empty where this machine believes it."""

    ends_at_s: float
    problem: str = ""


def certificate(address: str) -> Certificate | None:
    """The certificate of an address; None: it is plain HTTP. Raises ``NoAnswer``."""
    is_tls, host, port, _ = _target(address)
    if not is_tls:
        return None
    context = ssl.create_default_context()
    with _in_words():
        try:
            with (
                socket.create_connection((host, port), timeout=WITHIN_S) as plain,
                context.wrap_socket(plain, server_hostname=host) as wire,
            ):
                shown = wire.getpeercert() or {}
        except ssl.SSLCertVerificationError as error:
            return Certificate(0.0, error.verify_message)
    return Certificate(ssl.cert_time_to_seconds(str(shown["notAfter"])))
