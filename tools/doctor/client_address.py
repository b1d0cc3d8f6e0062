"""Whether a proxy hides the readers: how the pixel has found the addresses of its hits, by its own counts.

The pixel keeps no address, so nobody can ask it for them. It counts how each was found, and how many clients the
fullest minute had; who stands behind a proxy that hides them shows in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.pixel.peers import PEER_KINDS, PeerKind
from services.settings import IPNetwork
from tools.doctor.check import Judgement
from tools.doctor.installation import CannotAsk, Installation

# So few hits may be somebody who tries things out.
FEWEST, FEWEST_PRIVATE = 5, 20
# An untrusted network as wide as these is no proxy's: the providers' largest are /12 and /29.
WIDEST_V4, WIDEST_V6 = 8, 16


class Found(NamedTuple):
    """Hits since the pixel's start by how their address was found, and the settings that decide."""

    counts: Mapping[PeerKind, int]
    most_clients: int  # of the fullest minute of one pixel; 0: not known
    trusted: Sequence[IPNetwork]
    header: str


def gather(installation: Installation) -> Found:
    """Raises ``CannotAsk``."""
    pixels = [name for name in installation.services if name.partition("-")[0] == "pixel"]
    found = [installation.metrics(name) for name in pixels or ["pixel"]]
    if not all(("footfall_pixel_peers", "direct") in samples for samples in found):
        raise CannotAsk("this pixel does not count how addresses are found: it is of an older version")
    settings = installation.settings
    return Found(
        {kind: int(sum(samples["footfall_pixel_peers", kind] for samples in found)) for kind in PEER_KINDS},
        max(int(samples["footfall_pixel_most_clients", ""]) for samples in found),
        settings.trusted_proxies,
        settings.client_address_header,
    )


def trusts_the_world(networks: Sequence[IPNetwork]) -> bool:
    """Whether anybody could be a trusted proxy, and so name any address as the reader's."""
    widest = {4: WIDEST_V4, 6: WIDEST_V6}
    return any(network.prefixlen < widest[network.version] for network in networks)


def judge(found: Found) -> Judgement:
    """Whose hits they are taken for."""
    counts, total = found.counts, sum(found.counts.values())
    by_proxy = counts["proxy"] + counts["silent-proxy"]
    is_most = {kind: counts[kind] * 2 >= total and counts[kind] >= FEWEST for kind in PEER_KINDS}
    is_one = found.most_clients <= 1 and counts["private"] >= FEWEST_PRIVATE
    faults = {
        "trusts-the-world": trusts_the_world(found.trusted),
        "untrusted-proxy": is_most["private-forwarded"],
        "silent-proxy": counts["silent-proxy"] * 2 >= by_proxy and counts["silent-proxy"] >= FEWEST,
        "one-client": is_most["private"] and is_one,
        "unknown-proxy": is_most["forwarded"],
    }
    kinds = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number)
    says = f"{total} hits since the pixel's start ({kinds})" if total else "no hit since the pixel's start"
    return Judgement(says, tuple(name for name, is_so in faults.items() if is_so))
