"""The demo's visits: a function of the seed and the days. Pure, and one day in memory at a time.

A day has its visits by weekday, hour and growth, those that have an occasion, programs, and the owner.
A hit's id follows from seed, day and number within the day, so that the same demo twice is stored once.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import random
import uuid
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from services.hit import LeftOut, RawHit
from tools.demo.occasions import Occasions
from tools.demo.scene import HOUR_US, Scene
from tools.demo.visitors import Visitors
from tools.demo.visits import Visit, request_of_bot
from tools.demo.world import Weighted, World

SPREAD = 0.12  # of a day's visits: one standard deviation
BACK_AFTER_H = (0.6, 5.0)
BOTS_READ = 0.7  # of programs' requests are for pages that are there
_LEFT_OUT = (("excluded", "prefetch", 0.7), ("refused", "rate-limit", 0.12), ("refused", "url", 0.08))


class Traffic:
    """The visits of a history's days, and single ones for now."""

    def __init__(self, world: World, visitors: Visitors, seed: int, zone: ZoneInfo) -> None:
        self.world = world
        self._seed = seed
        self._scene = Scene(world, visitors, zone)
        self._occasions = Occasions(self._scene)
        sources = world.facts["sources"]
        self._sources = {
            host: Weighted((source, source["weights"][host]) for source in sources) for host in world.hosts
        }
        self._referrers = {source["name"]: _referrers(source) for source in sources}

    # Days ---------------------------------------------------------------------------------------------------

    def hits_of(self, day: datetime.date) -> list[RawHit]:
        """All hits of a day, in the order of their times; a visit ends at midnight."""
        begin, end = self._scene.days.begin(day), self._scene.days.end(day)
        hits = (hit for visit in self._visits(day) for hit in visit.hits if begin <= hit.received_at_us < end)
        numbered = [self._numbered(hit, day, number) for number, hit in enumerate(hits)]
        return sorted(numbered, key=lambda hit: hit.received_at_us)

    def left_out_of(self, day: datetime.date) -> list[LeftOut]:
        """What the pixel would have excluded or refused on a day."""
        dice = self._dice(day, "left out")
        parts = [LeftOut("", str(day), "excluded", "local-host", dice.randint(1, 40))]
        for site, (outcome, reason, share) in itertools.product(self.world.facts["sites"], _LEFT_OUT):
            number = round(site["excluded"] * share * dice.uniform(0.6, 1.4))
            if number:
                parts.append(LeftOut(site["host"], str(day), outcome, reason, number))
        return parts

    def _dice(self, day: datetime.date, part: str) -> random.Random:
        return random.Random(f"{self._seed} {day} {part}")

    def _numbered(self, hit: RawHit, day: datetime.date, number: int) -> RawHit:
        digest = hashlib.blake2b(f"{self._seed} {day} {number}".encode(), digest_size=16).digest()
        return msgspec.structs.replace(hit, hit_id=uuid.UUID(bytes=digest, version=5).bytes, day=str(day))

    def _visits(self, day: datetime.date) -> Iterator[Visit]:
        for site in self.world.facts["sites"]:
            dice = self._dice(day, site["host"])
            yield from self._people(dice, site, day)
            for _ in range(round(site["bots"] * dice.uniform(0.7, 1.3))):
                yield self.bot(dice, site, self._scene.days.any_moment(dice, day))
            for _ in range(dice.randint(0, 2 * site["owner"])):
                yield self.owner(dice, site, self._scene.days.moment(dice, day))
        yield from self._occasions.visits_on(self._dice(day, "occasions"), day)

    def _people(self, dice: random.Random, site: dict[str, Any], day: datetime.date) -> Iterator[Visit]:
        grown = (1 + site["growth"]) ** (-self._scene.ago(day) / 365)
        wanted = site["visits"] * site["weekdays"][day.weekday()] * grown
        for _ in range(max(1, round(dice.gauss(wanted, wanted * SPREAD)))):
            visit = self.person(dice, site, self._scene.days.moment(dice, day))
            yield visit
            if dice.random() < self.world.facts["comes_back"]:
                later_us = visit.end_us + int(dice.uniform(*BACK_AFTER_H) * HOUR_US)
                landing = self._scene.landing(dice, site, later_us, told=True)
                yield self._scene.visit(dice, site, later_us, landing, visitor=visit.visitor)

    # Single visits ------------------------------------------------------------------------------------------

    def person(self, dice: random.Random, site: dict[str, Any], at_us: int) -> Visit:
        """The visit of somebody to a site."""
        source = self._sources[site["host"]].draw(dice)
        landing = self._scene.landing(dice, site, at_us, told=source.get("fresh", False))
        referrer = self._referrers[source["name"]].draw(dice)
        return self._scene.visit(dice, site, at_us, landing._replace(referrer=referrer))

    def owner(self, dice: random.Random, site: dict[str, Any], at_us: int) -> Visit:
        """The owner looks at a site."""
        landing = self._scene.landing(dice, site, at_us, told=True)
        return self._scene.visit(dice, site, at_us, landing, is_me=True)

    def bot(self, dice: random.Random, site: dict[str, Any], at_us: int) -> Visit:
        """What a program asks of a site."""
        visitor = self._scene.visitors.bot(dice)
        yesterday = self._scene.days.of(at_us) - datetime.timedelta(days=1)
        page = dice.choice(self.world.pages_on(yesterday, site)) if dice.random() < BOTS_READ else None
        return request_of_bot(dice, site, visitor, at_us, page, self.world.facts["bots"]["paths"])

    def missing(self, dice: random.Random, at_us: int) -> Visit:
        """Somebody comes to a page that is not there."""
        missing = dice.choice([entry for entry in self.world.facts["missing"] if "repaired" not in entry])
        return self._occasions.visit_missing(dice, missing, at_us)


def _referrers(source: dict[str, Any]) -> Weighted[str]:
    """The referrers of a source, with its long tail of hosts."""
    pairs = [(referrer, weight) for referrer, weight in source["from"]]
    if tail := source.get("tail"):
        ranks = range(1, tail["hosts"] + 1)
        total = sum(1 / rank for rank in ranks)
        dice = random.Random("tail")
        pairs += [(f"https://{_host(dice, rank)}/", tail["weight"] / rank / total) for rank in ranks]
    return Weighted(pairs)


def _host(dice: random.Random, rank: int) -> str:
    first = dice.choice(
        ("notes", "links", "blog", "garden", "forum", "wiki", "reading", "weekly", "lab", "log")
    )
    return f"{first}-{rank}.{dice.choice(('example.net', 'example.org', 'example.com'))}"
