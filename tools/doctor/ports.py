"""Which of the installation's ports the world can reach: what listens on all addresses of this machine."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from tools.doctor.check import Judgement
from tools.doctor.installation import LOCAL, CannotAsk, Installation

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
LISTENING = "0A"


class Ports(NamedTuple):
    """The ports of parts on this machine, and which ports more than this machine can reach."""

    by_part: Mapping[str, int]
    open: frozenset[int]
    is_behind_proxy: bool


def open_ports(table: str) -> set[int]:
    """Ports on which somebody listens for more than this machine, from the text of ``/proc/net/tcp``."""
    found = set()
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        address, _, port = local.partition(":")
        if state == LISTENING and not _ip(address).is_loopback:
            found.add(int(port, 16))
    return found


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address as Linux writes it there: words of four bytes, each the wrong way round."""
    raw = bytes.fromhex(text)
    address = ipaddress.ip_address(b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4)))
    return getattr(address, "ipv4_mapped", None) or address


def gather(installation: Installation) -> Ports:
    """Linux only. Raises ``CannotAsk``."""
    parts = {name: urlsplit(url) for name, url in installation.urls.items() if url}
    by_part = {
        name.removesuffix("_URL").removesuffix("_METRICS").lower() + ("'s metrics" if "METRICS" in name else ""):
        part.port
        for name, part in parts.items()
        if part.hostname in LOCAL and part.port
    }  # fmt: skip
    if not by_part:
        raise CannotAsk("no part of the stack is known to be on this machine")
    tables = [path.read_text() for path in TABLES if path.exists()]
    if not tables:
        raise CannotAsk("only Linux tells who listens (/proc/net/tcp)")
    found = frozenset().union(*(open_ports(table) for table in tables))
    return Ports(by_part, found, bool(installation.settings.trusted_proxies))


def judge(ports: Ports) -> Judgement:
    """The pixel may be reached, unless a proxy stands in front of it; nothing else may."""
    reached = [part for part, port in ports.by_part.items() if port in ports.open]
    inner = sorted({"postgres" if "database" in part else part for part in reached} - {"pixel"})
    faults = (
        *(["open"] if inner else []),
        *(["beside-proxy"] if "pixel" in reached and ports.is_behind_proxy else []),
    )
    says = f"reached from other machines: {', '.join(inner) or 'nothing inner'}"
    return Judgement(says + ("; the pixel is" if "pixel" in reached else ""), faults)
