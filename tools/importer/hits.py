"""Makes raw hits of what files tell, by the rules by which the pixel takes live ones."""

from __future__ import annotations

import time
from typing import NamedTuple

from services.hit import RawHit
from services.page_address import parse_address, without_www
from services.pixel.clock import DayClock, HitIds
from services.pixel.collect import Accepted, Collector, Headers, Refused
from services.settings import Settings

CLOCK_TOLERANCE_US = 300_000_000  # as the enricher's, which would give later hits another time
OTHER_HOST = "another host than SITE"
IN_THE_FUTURE = "its time has not come yet"


class Record(NamedTuple):
    """What became of a line or a row: a hit, or why not."""

    place: int  # number of the line, from 1; of the row
    hit: RawHit | None
    why_not: str = ""


class Maker:
    """Decides under the installation's settings; ``site``: the host whose hits are taken, empty: any."""

    def __init__(self, settings: Settings, site: str) -> None:
        self._collector = Collector(settings, DayClock(settings.report_timezone).day_of, HitIds().make)
        self._site = without_www(site)

    def why_not_counted(self, host: str) -> str:
        """Why the settings leave out the pages of a host; empty: they do not."""
        found = self._collector.site_of(host)
        return "" if isinstance(found, str) else found.reason

    def make(self, parameters: dict[str, str], headers: Headers, address: str, at_us: int) -> RawHit | str:
        """The hit, or why there is none."""
        if at_us > time.time_ns() // 1_000 + CLOCK_TOLERANCE_US:
            return IN_THE_FUTURE
        if self._site and not self._is_of_site(parameters["url"]):
            return OTHER_HOST
        outcome = self._collector.collect(parameters, headers, address, at_us)
        if isinstance(outcome, Accepted):
            return outcome.hit
        if isinstance(outcome, Refused):
            return f"its {outcome.reason} cannot be read"
        return f"excluded: {outcome.reason}"

    def _is_of_site(self, url: str) -> bool:
        page = parse_address(url)
        return page is None or page.host == self._site or page.host.endswith(f".{self._site}")
