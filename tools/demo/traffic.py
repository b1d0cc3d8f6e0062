"""The demo's visits: a function of the seed and the days. Pure, and one day in memory at a time.

A day has its visits by weekday, hour and growth; fresh posts, surges, campaigns, missing pages, programs, the owner.
A hit's id follows from seed, day and number within the day, so that the same demo twice is stored once.
"""

from __future__ import annotations

import datetime
import hashlib
import itertools
import math
import random
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec

from services.hit import LeftOut, RawHit
from tools.demo.visitors import Visitor, Visitors
from tools.demo.visits import Landing, Visit, reading, requests_of_bot
from tools.demo.world import Page, Weighted, World, novelty

MOST_VISITS_SPREAD = 0.12  # one standard deviation of a day's visits
SURGE_HOURS = 60
NEW = 26.0  # how much more a page of today is read than one of long ago, by those who were told of it
REMEMBERED = 0.12  # of an older post's popularity, for those who search
HOME_SHARE = 0.2
_LEFT_OUT = (("excluded", "prefetch", 0.7), ("refused", "rate-limit", 0.12), ("refused", "url", 0.08))


class Traffic:
    """The visits of a history's days."""

    def __init__(self, world: World, visitors: Visitors, seed: int, zone: ZoneInfo) -> None:
        self.world = world
        self._facts = world.facts
        self._visitors = visitors
        self._seed = seed
        self._zone = zone
        self._hours = Weighted(enumerate(self._facts["hours"]))
        self._sources = {
            host: Weighted((source, source["weights"][host]) for source in self._facts["sources"])
            for host in world.hosts
        }
        self._referrers = {source["name"]: _referrers(source) for source in self._facts["sources"]}
        self._on = world.last_day
        self._landings = {host: self._landings_of(host, self._on) for host in world.hosts}

    @property
    def sites(self) -> list[dict[str, Any]]:
        """The sites, as world.toml has them."""
        sites: list[dict[str, Any]] = self._facts["sites"]
        return sites

    # Days ---------------------------------------------------------------------------------------------------

    def hits_of(self, day: datetime.date) -> list[RawHit]:
        """All hits of a day, in the order of their times."""
        begin, end = self._begin(day), self._begin(day + datetime.timedelta(days=1))
        numbers = itertools.count()
        hits = [
            self._hit(hit, day, next(numbers))
            for visit in self._visits(day)
            for hit in visit.hits
            if begin <= hit.received_at_us < end  # a visit ends at midnight
        ]
        return sorted(hits, key=lambda hit: hit.received_at_us)

    def left_out_of(self, day: datetime.date) -> list[LeftOut]:
        """What the pixel would have excluded or refused on a day."""
        dice = self._dice(day, "left out")
        parts = []
        for site in self._facts["sites"]:
            for outcome, reason, share in _LEFT_OUT:
                number = round(site["excluded"] * share * dice.uniform(0.6, 1.4))
                if number:
                    parts.append(LeftOut(site["host"], str(day), outcome, reason, number))
        return parts

    def _begin(self, day: datetime.date) -> int:
        return int(datetime.datetime.combine(day, datetime.time(), self._zone).timestamp()) * 1_000_000

    def _dice(self, day: datetime.date, part: str) -> random.Random:
        return random.Random(f"{self._seed} {day} {part}")

    def _hit(self, hit: RawHit, day: datetime.date, number: int) -> RawHit:
        digest = hashlib.blake2b(f"{self._seed} {day} {number}".encode(), digest_size=16).digest()
        return msgspec.structs.replace(hit, hit_id=uuid.UUID(bytes=digest, version=5).bytes, day=str(day))

    def _ago(self, day: datetime.date) -> int:
        return (self.world.last_day - day).days

    def _visits(self, day: datetime.date) -> Iterator[Visit]:
        for site in self._facts["sites"]:
            dice = self._dice(day, site["host"])
            yield from self._people(dice, site, day)
            yield from (self.bot(dice, site, self._moment(dice, day, even=True)) for _ in range(site["bots"]))
            yield from self._owner(dice, site, day)
        dice = self._dice(day, "told")
        yield from self._missing(dice, day)
        yield from self._campaigns(dice, day)
        yield from self._surges(dice, day)

    def _moment(self, dice: random.Random, day: datetime.date, *, even: bool = False) -> int:
        """A time of a day, Unix time in µs: by its hours, or as likely in one as in another."""
        hour = dice.randrange(24) if even else self._hours.draw(dice)
        at = datetime.datetime.combine(day, datetime.time(hour), self._zone).timestamp()
        return int((at + dice.random() * 3_600) * 1_000_000)

    # Kinds of visits ----------------------------------------------------------------------------------------

    def _people(self, dice: random.Random, site: dict[str, Any], day: datetime.date) -> Iterator[Visit]:
        grown = (1 + site["growth"]) ** (-self._ago(day) / 365)
        wanted = site["visits"] * site["weekdays"][day.weekday()] * grown
        for _ in range(max(1, round(dice.gauss(wanted, wanted * MOST_VISITS_SPREAD)))):
            visit = self.person(dice, site, self._moment(dice, day))
            yield visit
            if dice.random() < self._facts["comes_back"]:
                later_us = visit.end_us + int(dice.uniform(0.6, 5) * 3_600_000_000)
                yield self._visit(
                    dice, site, visit.visitor, later_us, self._landing(dice, site, later_us, True)
                )

    def person(self, dice: random.Random, site: dict[str, Any], at_us: int, *, is_me: bool = False) -> Visit:
        """The visit of somebody to a site."""
        source = self._sources[site["host"]].draw(dice)
        referrer = self._referrers[source["name"]].draw(dice)
        landing = self._landing(dice, site, at_us, source.get("fresh", False))._replace(referrer=referrer)
        return self._visit(dice, site, self._visitors.person(dice), at_us, landing, is_me=is_me)

    def missing(self, dice: random.Random, at_us: int) -> Visit:
        """Somebody comes to a page that is not there."""
        missing = dice.choice([entry for entry in self._facts["missing"] if "repaired" not in entry])
        site = self.world.site(missing["site"])
        return self._visit(dice, site, self._visitors.person(dice), at_us, _not_there(dice, missing))

    def bot(self, dice: random.Random, site: dict[str, Any], at_us: int) -> Visit:
        """What a program asks of a site."""
        pages = self.world.pages_of(site)
        page = dice.choice(pages) if dice.random() < 0.7 else None
        return requests_of_bot(
            dice, site, self._visitors.bot(dice), at_us, page, self._facts["bots"]["paths"]
        )

    def _owner(self, dice: random.Random, site: dict[str, Any], day: datetime.date) -> Iterator[Visit]:
        for _ in range(dice.randint(0, 2 * site["owner"])):
            at_us = self._moment(dice, day)
            yield self._visit(
                dice,
                site,
                self._visitors.person(dice),
                at_us,
                self._landing(dice, site, at_us, True),
                is_me=True,
            )

    def _missing(self, dice: random.Random, day: datetime.date) -> Iterator[Visit]:
        ago = self._ago(day)
        for missing in self._facts["missing"]:
            if not missing.get("repaired", -1) < ago <= missing.get("since", ago):
                continue
            for _ in range(_whole(dice, missing["visits"])):
                yield self._told(dice, missing, day, _not_there(dice, missing))

    def _campaigns(self, dice: random.Random, day: datetime.date) -> Iterator[Visit]:
        ago = self._ago(day)
        for campaign in self._facts["campaigns"]:
            first, every = campaign["first"], campaign["every"]
            if not campaign["last"] <= ago <= first:
                continue
            number, age = divmod(first - ago, every)
            for _ in range(_whole(dice, campaign["visits"] / 2**age)):
                yield self._told(dice, campaign, day, self._tagged(dice, campaign, day, number + 1))

    def _tagged(
        self, dice: random.Random, campaign: dict[str, Any], day: datetime.date, number: int
    ) -> Landing:
        tags = {name: value.format(n=number) for name, value in campaign["tags"].items()}
        if "contents" in campaign:
            tags["utm_content"] = dice.choice(campaign["contents"])
        page = self._named(campaign["site"], dice.choice(campaign["pages"])) if "pages" in campaign else None
        page = page or next(post for post in self.world.posts if str(post.published) <= str(day))
        referrers = Weighted((referrer, weight) for referrer, weight in campaign["from"])
        return Landing(page.path, page.title, query=urlencode(tags), referrer=referrers.draw(dice))

    def _surges(self, dice: random.Random, day: datetime.date) -> Iterator[Visit]:
        for surge in self._facts["surges"]:
            began_on = self.world.surge_began(surge)
            start_us = self._begin(began_on) + surge["hour"] * 3_600_000_000
            half_us = surge["half_life_h"] * 3_600_000_000
            begin_us = max(0, self._begin(day) - start_us)
            end_us = min(
                SURGE_HOURS * 3_600_000_000, self._begin(day + datetime.timedelta(days=1)) - start_us
            )
            if end_us <= begin_us:
                continue
            left, right = 2 ** (-begin_us / half_us), 2 ** (-end_us / half_us)
            referrers = Weighted((referrer, weight) for referrer, weight in surge["from"])
            page = self._read_in(surge, began_on)
            for _ in range(_whole(dice, surge["visits"] * (left - right))):
                since_us = -half_us * math.log2(dice.uniform(right, left))
                landing = Landing(page.path, page.title, referrer=referrers.draw(dice))
                visitor = self._visitors.person(dice)
                yield self._visit(
                    dice,
                    self.world.site(surge["site"]),
                    visitor,
                    start_us + int(since_us),
                    landing,
                    bounces=0.86,
                )

    def _read_in(self, surge: dict[str, Any], began_on: datetime.date) -> Page:
        if "page" in surge:
            return self._named(surge["site"], surge["page"])
        return next(
            post
            for post in self.world.posts
            if str(post.published) <= str(began_on) and post.title == surge.get("post", post.title)
        )

    def _told(
        self, dice: random.Random, entry: dict[str, Any], day: datetime.date, landing: Landing
    ) -> Visit:
        site = self.world.site(entry["site"])
        return self._visit(dice, site, self._visitors.person(dice), self._moment(dice, day), landing)

    # Pages --------------------------------------------------------------------------------------------------

    def _named(self, host: str, path: str) -> Page:
        return next(page for page in self.world.pages_of(self.world.site(host)) if page.path == path)

    def _landings_of(self, host: str, day: datetime.date) -> tuple[Weighted[Page], Weighted[Page]]:
        """Where visits begin on a day: of those who were told of something new, and of those who searched."""
        pages = [
            page
            for page in self.world.pages_of(self.world.site(host))
            if page.published is None or page.published <= day
        ]
        fresh = [(page, page.popularity * (0.5 + NEW * novelty(page, day))) for page in pages]
        steady = [(page, page.popularity * (REMEMBERED if page.published else 1)) for page in pages]
        return Weighted(fresh), Weighted(steady)

    def _landing(self, dice: random.Random, site: dict[str, Any], at_us: int, fresh: bool) -> Landing:
        day = datetime.datetime.fromtimestamp(at_us / 1e6, self._zone).date()
        if day != self._on:
            self._on = day
            self._landings = {host: self._landings_of(host, day) for host in self.world.hosts}
        page = self._landings[site["host"]][0 if fresh else 1].draw(dice)
        appears_us = self._begin(day) + self._facts["posts"]["hour"] * 3_600_000_000
        if (page.published == day and at_us < appears_us) or dice.random() < HOME_SHARE:
            return Landing("/", site["home"])
        return Landing(page.path, page.title)

    def _visit(
        self,
        dice: random.Random,
        site: dict[str, Any],
        visitor: Visitor,
        at_us: int,
        landing: Landing,
        *,
        is_me: bool = False,
        bounces: float | None = None,
    ) -> Visit:
        return reading(
            dice,
            site,
            visitor,
            at_us,
            landing,
            self._facts,
            lambda moment_us: self._landing(dice, site, moment_us, dice.random() < 0.5),
            is_me=is_me,
            bounces=self._facts["bounces"] if bounces is None else bounces,
        )


def _not_there(dice: random.Random, missing: dict[str, Any]) -> Landing:
    referrers = Weighted((referrer, weight) for referrer, weight in missing["from"])
    return Landing(missing["path"], "Page not found", referrer=referrers.draw(dice), status=404)


def _whole(dice: random.Random, number: float) -> int:
    """A number of visits whose mean is the number."""
    spread = number * dice.uniform(0.8, 1.2)
    return int(spread) + (dice.random() < spread % 1)


def _referrers(source: dict[str, Any]) -> Weighted[str]:
    """The referrers of a source, with its long tail of hosts."""
    pairs = [(referrer, weight) for referrer, weight in source["from"]]
    if tail := source.get("tail"):
        total = sum(1 / rank for rank in range(1, tail["hosts"] + 1))
        dice = random.Random("tail")
        pairs += [
            (f"https://{_host(dice, rank)}/", tail["weight"] / rank / total)
            for rank in range(1, tail["hosts"] + 1)
        ]
    return Weighted(pairs)


def _host(dice: random.Random, rank: int) -> str:
    first = dice.choice(
        ("notes", "links", "blog", "garden", "forum", "wiki", "reading", "weekly", "lab", "log")
    )
    return f"{first}-{rank}.{dice.choice(('example.net', 'example.org', 'example.com'))}"
