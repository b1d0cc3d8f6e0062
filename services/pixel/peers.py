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

# As the kernel writes addresses: to take one apart is 2 µs, this 0.2.
_MAYBE = ("127.", "10.", "192.168.", "172.", "169.254.", "::", "fc", "fd", "fe80:")
_PRIVATE_172 = tuple(f"172.{number}." for number in range(16, 32))


def is_private(peer: str) -> bool:
    """Whether a connection comes from this machine or its own network."""
    if not peer.startswith(_MAYBE):
        return False
    if peer.startswith("::"):
        return peer == "::1" or (peer.startswith("::ffff:") and is_private(peer[7:]))
    return not peer.startswith("172.") or peer.startswith(_PRIVATE_172)


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
