"""Addresses of pages: what is one, what its parts are, which spellings are one page, and which hosts are local.

Shared by the pixel (whose site is it, may it be counted), the enricher (host, path, query) and the rollup (the pages
of posts). The rules of spelling stand in docs/tag.md for readers.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?", re.ASCII)
MAX_HOST = 253
_LOCAL_ENDINGS = (".localhost", ".local", ".test")
_LOCAL_NAMES = ("localhost", "local", "test")
# Loopback, private (RFC 1918, RFC 4193), link-local and unspecified. Addresses for documentation (203.0.113.0/24 …)
# are not local, as .example is not.
_LOCAL_NETWORKS = tuple(
    ipaddress.ip_network(text)
    for text in ("0.0.0.0/8", "10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
                 "::/127", "fc00::/7", "fe80::/10")
)  # fmt: skip
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.ASCII)
# A folder's own page, as servers name its file.
_INDEX = re.compile(r"/index\.(?:html?|php)\Z", re.IGNORECASE)


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
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return _ipv4(host)
    return host if _HOST.fullmatch(host) else None


def _ipv4(host: str) -> str | None:
    """A numeric host as browsers read it: one to four numbers, the last one for all bytes that are left.

    https://url.spec.whatwg.org/#concept-ipv4-parser: ``127.1``, ``0x7f.1`` and ``2130706433`` are 127.0.0.1.
    """
    parts = host.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) and len(part) <= 15 for part in parts):
        return None
    try:
        *head, last = (_ipv4_number(part) for part in parts)
    except ValueError:
        return None  # 08: no octal number
    if any(number > 255 for number in head) or last >= 256 ** (4 - len(head)):
        return None
    for place, number in enumerate(head):
        last += number << (8 * (3 - place))
    return str(ipaddress.IPv4Address(last))


def _ipv4_number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8 if text.startswith("0") else 10)


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
    if not (":" in host or host[-1:].isdigit()):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in _LOCAL_NETWORKS if network.version == address.version)


def canonical_path(path: str) -> str:
    """One spelling of a page: ``/a/``, ``/a/index.html`` and ``/a`` are ``/a``; the root is ``/``."""
    path = path.rstrip("/")
    while found := _INDEX.search(path):
        path = path[: found.start()].rstrip("/")
    return path or "/"


def path_of(address: Address, redact: Callable[[str], str], *, hash_routing: bool) -> str:
    """The path of a page as its hits have it."""
    path = canonical_path(redact(_decoded(address.path)))
    if hash_routing:
        route = canonical_path(redact(_decoded(address.fragment.partition("?")[0])))
        path += "" if route == "/" else f"#{route}"
    return path


def _decoded(path: str) -> str:
    """Percent-decoded where that gives valid UTF-8, else as sent."""
    if "%" not in path:
        return path
    try:
        return unquote(path, errors="strict").replace("\0", "")
    except UnicodeDecodeError:
        return path


def without_www(host: str) -> str:
    """``www.example.com`` → ``example.com``."""
    return host[4:] if host.startswith("www.") and "." in host[4:] else host
