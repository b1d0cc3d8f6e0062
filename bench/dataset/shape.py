"""What the made-up hits are like: how many on which day, of which sites, and how often anything happens.

Nothing is drawn by a generator with a state: each choice is a hash of the session's number and of what is chosen, so
that days can be made in any order, by several connections, and are the same each time.
"""

from __future__ import annotations

import datetime
import hashlib
from typing import NamedTuple

DAYS = 90
# A day in the past and not today: the same hits tomorrow, and a cache that does not grow old. Panels get the range.
LAST_DAY = datetime.date(2026, 3, 31)
FIRST_DAY = LAST_DAY - datetime.timedelta(days=DAYS - 1)
OPEN_DAYS = 3  # the last ones, as upkeep leaves them: with the indexes that new hits need
SUNDAY_SHARE = 0.7  # of a working day, on Saturdays and Sundays
GROWTH = 0.3  # by which the last day exceeds the first

COUNTRIES = (
    "US", "DE", "GB", "FR", "IN", "CA", "NL", "JP", "BR", "AU", "PL", "ES", "IT", "SE", "CH", "CN", "AT", "RU", "CZ",
    "KR", "BE", "UA", "FI", "DK", "NO", "SG", "MX", "TR", "PT", "RO", "ID", "AR", "IE", "GR", "HU", "IL", "TW", "ZA",
    "NZ", "VN",
)  # fmt: skip
LOOKS = 2_000  # different browser, system, device, language and screen; times the countries
BOTS = 200
BOT_COUNTRIES = 5
REFERRERS = 300
CAMPAIGNS = 60
MISSING_PAGES = 100  # of each site
RENAMED_PAGE_EVERY = 50  # a page in so many gets another title halfway


class Site(NamedTuple):
    """A site and its part of the traffic."""

    name: str
    pages: int
    share: float  # of the sessions


FIRST_SITES = ("blog.example", "shop.example", "docs.example")
USUAL_SHARES = (0.6, 0.3, 0.1)  # of sessions, and of pages
FEWEST_PAGES = 20  # of a site


class World(NamedTuple):
    """How much of what there is; the rest of this module is the same for all."""

    hits: int
    sites: int = len(FIRST_SITES)
    pages: int = 5_000

    def __str__(self) -> str:
        return f"{self.hits} stored hits, {self.sites} sites, {self.pages} pages"


def sites_of(world: World) -> tuple[Site, ...]:
    """Three sites as above; another number shares by Zipf's law, as does a company's list of customers."""
    shares: tuple[float, ...] = USUAL_SHARES
    if world.sites != len(shares):
        whole = sum(1 / rank for rank in range(1, world.sites + 1))
        shares = tuple(1 / rank / whole for rank in range(1, world.sites + 1))
    names = [*FIRST_SITES, *(f"site-{number}.example" for number in range(4, world.sites + 1))][: world.sites]
    pages = [max(FEWEST_PAGES, round(world.pages * share)) for share in shares]
    return tuple(Site(*site) for site in zip(names, pages, shares, strict=True))


SITES = sites_of(World(0))  # the usual ones; the first is there whatever their number

# Of sessions.
BOUNCES = 0.5  # one hit only; the others have 5 on average, together 3
BOT_SESSIONS = 0.05
OWNER_SESSIONS = 0.002
ANONYMOUS_SESSIONS = 0.04
EXTERNAL_SESSIONS = 0.35  # arrive by another site's link
CAMPAIGN_SESSIONS = 0.05
# Of hits.
EVENTS = 0.075  # of those that are not a session's first: 5 % of all
MISSING = 0.01
WITHOUT_TITLE = 0.02

HITS_A_SESSION = 3.0
HITS_A_BATCH = 500
REFRESHES_A_DAY = 24


def days() -> list[datetime.date]:
    """All of them, in order."""
    return [FIRST_DAY + datetime.timedelta(days=number) for number in range(DAYS)]


def _weight(day: datetime.date) -> float:
    place = (day - FIRST_DAY).days / (DAYS - 1)
    noise = hashlib.sha256(day.isoformat().encode()).digest()[0] / 255  # good days and bad ones: ±10 %
    weekly = SUNDAY_SHARE if day.weekday() >= 5 else 1.0
    return weekly * (1 + GROWTH * place) * (0.9 + 0.2 * noise)


def hits_by_day(hits: int) -> dict[datetime.date, int]:
    """How many of ``hits`` each day has; the sum is exact."""
    weights = {day: _weight(day) for day in days()}
    whole, before, given = sum(weights.values()), 0.0, 0
    shares: dict[datetime.date, int] = {}
    for day, weight in weights.items():
        before += weight
        shares[day] = round(hits * before / whole) - given
        given += shares[day]
    return shares
