"""Which site a host belongs to: the longest matching entry of SITES, or under ``*`` the host without ``www.``."""

from __future__ import annotations

from collections.abc import Sequence

from services.page_address import without_www
from services.settings import Site


def text_of(sites: Sequence[Site]) -> str:
    """SITES in one spelling: ``*``, or ``shop.example=example.com, example.com`` in the order of the hosts."""
    return ", ".join(sorted(f"{entry.host}={entry.site}" for entry in sites)) or "*"


class Sites:
    """The sites of this installation."""

    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = tuple(sites)  # longest host first, as ``parse_sites`` gives them

    def site_of(self, host: str) -> str | None:
        """The site; None: a stranger's host."""
        if not self._sites:
            return without_www(host)
        for entry in self._sites:
            if host == entry.host or host.endswith("." + entry.host):
                return entry.site
        return None
