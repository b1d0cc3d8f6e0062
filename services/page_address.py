"""Addresses of pages: what is one, what its parts are, and which of them are local.

Shared by the pixel (whose site is it, may it be counted) and the enricher (host, path, query).
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?", re.ASCII)
MAX_HOST = 253
_LOCAL_ENDINGS = (".localhost", ".local", ".test")
_LOCAL_NAMES = ("localhost", "local", "test")


class Address(NamedTuple):
    """The parts of an http(s) address; user, password and port are left behind."""

    host: str  # lower case, without a final dot; IPv6 without brackets
    path: str  # as sent, at least "/"
    query: str
    fragment: str


def _split(text: str) -> SplitResult | None:
    try:
        return urlsplit(text)
    except ValueError:
        return None


def host_of(netloc: str) -> str | None:
    """The host in lower case, as DNS writes it; None when it is none."""
    host = netloc.rpartition("@")[2]
    if host.startswith("["):
        return _ipv6(host.partition("]")[0][1:])
    host = host.partition(":")[0].rstrip(".").lower()
    if len(host) > MAX_HOST:
        return None  # before IDNA, which takes milliseconds for thousands of letters
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            return None
    return host if _HOST.fullmatch(host) else None


def _ipv6(text: str) -> str | None:
    try:
        return str(ipaddress.IPv6Address(text.partition("%")[0]))
    except ValueError:
        return None


def parse_address(text: str) -> Address | None:
    """The parts of an absolute http or https address; None when it is none."""
    parts = _split(text)
    if parts is None or parts.scheme not in ("http", "https"):
        return None
    host = host_of(parts.netloc)
    if host is None:
        return None
    return Address(host, parts.path or "/", parts.query, parts.fragment)


def is_file(text: str) -> bool:
    """Whether an address is that of a file on the sender's own disk."""
    return text[:5].lower() == "file:"


def is_local(host: str) -> bool:
    """Whether a host is on the sender's own machine or network: a build, not a site."""
    if host in _LOCAL_NAMES or host.endswith(_LOCAL_ENDINGS):
        return True
    if not (":" in host or host[-1].isdigit()):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_private or address.is_loopback or address.is_link_local or address.is_unspecified


def without_www(host: str) -> str:
    """``www.example.com`` → ``example.com``."""
    return host[4:] if host.startswith("www.") and "." in host[4:] else host
