"""How the addresses of hits were found, as six counts: whether a proxy hides the readers shows in them.

No address is kept, and none can be told from a count. Only the first answer to "who asks?" is counted, of hits that
came over the network; the tools' own socket names whomever it likes.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

PeerKind = Literal["direct", "forwarded", "private", "private-forwarded", "proxy", "silent-proxy"]
PEER_KINDS: tuple[PeerKind, ...] = (
    "direct", "forwarded", "private", "private-forwarded", "proxy", "silent-proxy",
)  # fmt: skip

# As the kernel writes them, so that no address need be taken apart: 0.2 µs of the 2.
_PRIVATE = ("10.", "127.", "169.254.", "192.168.", *(f"172.{n}." for n in range(16, 32)), "fc", "fd", "fe80:")


def is_private(peer: str) -> bool:
    """Whether a connection comes from this machine or its own network."""
    peer = peer.removeprefix("::ffff:")
    return peer == "::1" or peer.startswith(_PRIVATE)


class Peers:
    """Counts since the start of the process."""

    def __init__(self) -> None:
        self.counts: Counter[PeerKind] = Counter()

    def note(self, peer: str, *, is_proxy: bool, is_named: bool, has_forwarding: bool) -> None:
        """Count a hit.

        ``is_proxy``: TRUSTED_PROXIES has the peer; ``is_named``: its header named a client. ``has_forwarding``: of
        another peer, that the request has a header as only proxies send it.
        """
        if is_proxy:
            self.counts["proxy" if is_named else "silent-proxy"] += 1
        elif is_private(peer):
            self.counts["private-forwarded" if has_forwarding else "private"] += 1
        else:
            self.counts["forwarded" if has_forwarding else "direct"] += 1
