"""Whose request it is, when proxies stand between: pure functions of peer and headers.

The rule of contract section 2: the peer; when the peer is trusted, the first untrusted address from the right
of the one header that is named; garbage or none: the peer.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

from services.settings import IPNetwork

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Peers of the tools' Unix socket have no address of their own.
NO_PEER = "127.0.0.1"
MAX_PROXIES = 1_000
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


def _elements(values: Sequence[str], is_forwarded: bool) -> Sequence[str]:
    if len(values) == 1 and "," not in values[0] and not is_forwarded:
        return values
    elements = ",".join(values).split(",")
    if not is_forwarded:
        return elements
    matches = [_FORWARDED_FOR.search(element) for element in elements]
    return [match[1] if match else "" for match in matches]


class ClientAddress:
    """Finds the client's address under fixed settings."""

    def __init__(self, trusted: Sequence[IPNetwork], header: str) -> None:
        self._trusted = tuple(trusted)
        self._trusted_v4 = tuple(
            (int(network.network_address), int(network.netmask))
            for network in trusted
            if network.version == 4
        )
        self._proxies: dict[str, str] = {}  # peers that are trusted, so nobody's own address
        self.header = header
        self._is_forwarded = header.lower() == "forwarded"

    def _is_trusted(self, address: IPAddress) -> bool:
        return any(address.version == network.version and address in network for network in self._trusted)

    def _untrusted_v4(self, text: str) -> bool:
        """Whether a text is a plain IPv4 address that is not trusted: what most are, told in 1 µs of the 7."""
        try:
            number = int.from_bytes(socket.inet_pton(socket.AF_INET, text), "big")
        except (OSError, ValueError):
            return False
        for network, mask in self._trusted_v4:  # noqa: SIM110 - a generator takes 0.3 µs more
            if number & mask == network:
                return False
        return True

    def proxy(self, peer: str) -> str | None:
        """The address of a trusted peer that ``of`` was asked about before; None: no such one."""
        return self._proxies.get(peer)

    def of(self, peer: str | None, values: Sequence[str]) -> str:
        """The client's address; ``peer`` is None on the tools' socket, ``values`` the named header's lines."""
        if peer is None:
            fallback = NO_PEER
        elif peer in self._proxies:
            fallback = self._proxies[peer]
        elif self._untrusted_v4(peer):
            return peer
        else:
            address = parse_ip(peer)
            fallback = str(address or peer)
            if address is None or not self._is_trusted(address):
                return fallback
            if len(self._proxies) < MAX_PROXIES:
                self._proxies[peer] = fallback
        for element in reversed(_elements(values, self._is_forwarded)):
            text = element.strip()
            if self._untrusted_v4(text):
                return text
            address = parse_ip(text)
            if address is None:
                return fallback
            if not self._is_trusted(address):
                return str(address)
        return fallback
