"""Whose request it is, when proxies stand between: pure functions of peer and headers.

The rule of contract section 2: the peer; when the peer is trusted, the first untrusted address from the right
of the one header that is named; garbage or none: the peer.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from services.settings import IPNetwork

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Peers of the tools' Unix socket have no address of their own.
NO_PEER = "127.0.0.1"
_FORWARDED_FOR = re.compile(r"""(?:^|;)\s*for\s*=\s*("[^"]*"|[^;]*)""", re.IGNORECASE)


def parse_ip(text: str) -> IPAddress | None:
    """An address as proxies write it: with or without port, brackets, quotes, zone. Mapped IPv4 is IPv4."""
    text = text.strip().strip('"').strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def _elements(values: Sequence[str], header: str) -> list[str]:
    elements = ",".join(values).split(",")
    if header.lower() != "forwarded":
        return elements
    matches = [_FORWARDED_FOR.search(element) for element in elements]
    return [match[1] if match else "" for match in matches]


class ClientAddress:
    """Finds the client's address under fixed settings."""

    def __init__(self, trusted: Sequence[IPNetwork], header: str) -> None:
        self._trusted = tuple(trusted)
        self.header = header

    def _is_trusted(self, address: IPAddress) -> bool:
        return any(address.version == network.version and address in network for network in self._trusted)

    def of(self, peer: str | None, values: Sequence[str]) -> str:
        """The client's address; ``peer`` is None on the tools' socket, ``values`` the named header's lines."""
        if peer is not None and not self._trusted:
            return peer if ":" not in peer else str(parse_ip(peer) or peer)
        known_peer = parse_ip(peer) if peer is not None else None
        fallback = str(known_peer or peer or NO_PEER)
        if peer is not None and (known_peer is None or not self._is_trusted(known_peer)):
            return fallback
        for element in reversed(_elements(values, self.header)):
            address = parse_ip(element)
            if address is None:
                return fallback
            if not self._is_trusted(address):
                return str(address)
        return fallback
