"""What visits have in common: the times of days, the pages on which visits begin, and how a visit goes on."""

from __future__ import annotations

import datetime
import random
from typing import Any
from zoneinfo import ZoneInfo

from tools.demo.visitors import Visitor, Visitors
from tools.demo.visits import Landing, Visit, reading
from tools.demo.world import Page, Weighted, World, novelty

HOUR_US = 3_600_000_000
NEW = 26.0  # how much more a page of today is read than one of long ago, by those who were told of it
REMEMBERED = 0.12  # of an older post's popularity, for those who search
HOME_SHARE = 0.15  # of visits begin there
TOLD_SHARE = 0.5  # of next pages are chosen as by those who were told of something new


class Days:
    """The days of a zone, and their hours as people keep them. Times are Unix times in µs."""

    def __init__(self, zone: ZoneInfo, hours: list[float]) -> None:
        self._zone = zone
        self._hours = Weighted(enumerate(hours))

    def begin(self, day: datetime.date) -> int:
        """When a day begins."""
        return self._at(day, 0)

    def end(self, day: datetime.date) -> int:
        """When the next one does."""
        return self._at(day + datetime.timedelta(days=1), 0)

    def of(self, at_us: int) -> datetime.date:
        """The date of a time."""
        return datetime.datetime.fromtimestamp(at_us / 1e6, self._zone).date()

    def moment(self, dice: random.Random, day: datetime.date) -> int:
        """A time of a day at which people are awake."""
        return self._at(day, self._hours.draw(dice)) + int(dice.random() * HOUR_US)

    def any_moment(self, dice: random.Random, day: datetime.date) -> int:
        """A time of a day, each as likely as another."""
        return self.begin(day) + int(dice.random() * (self.end(day) - self.begin(day)))

    def _at(self, day: datetime.date, hour: int) -> int:
        return int(datetime.datetime.combine(day, datetime.time(hour), self._zone).timestamp()) * 1_000_000


class Scene:
    """The world and its visitors; remembers what is read on one day, as days come in order."""

    def __init__(self, world: World, visitors: Visitors, zone: ZoneInfo) -> None:
        self.world = world
        self.facts = world.facts
        self.visitors = visitors
        self.days = Days(zone, self.facts["hours"])
        self._read_on: datetime.date | None = None
        self._landings: dict[str, tuple[Weighted[Page], Weighted[Page]]] = {}

    def ago(self, day: datetime.date) -> int:
        """Days from a day to the last one."""
        return (self.world.last_day - day).days

    def landing(self, dice: random.Random, site: dict[str, Any], at_us: int, *, told: bool) -> Landing:
        """Where a visit begins: of somebody who was told of something new, or who searched."""
        day = self.days.of(at_us)
        if day != self._read_on:
            self._read_on = day
            self._landings = {host: self._landings_of(host, day) for host in self.world.hosts}
        page = self._landings[site["host"]][0 if told else 1].draw(dice)
        appears_us = self.days.begin(day) + self.facts["posts"]["hour"] * HOUR_US
        is_there = page.published != day or at_us >= appears_us
        if not is_there or dice.random() < HOME_SHARE:
            return Landing("/", site["home"])
        return Landing(page.path, page.title)

    def _landings_of(self, host: str, day: datetime.date) -> tuple[Weighted[Page], Weighted[Page]]:
        pages = self.world.pages_on(day, self.world.site(host))
        told = [(page, page.popularity * (0.5 + NEW * novelty(page, day))) for page in pages]
        steady = [(page, page.popularity * (REMEMBERED if page.published else 1)) for page in pages]
        return Weighted(told), Weighted(steady)

    def visit(
        self,
        dice: random.Random,
        site: dict[str, Any],
        at_us: int,
        landing: Landing,
        *,
        visitor: Visitor | None = None,
        is_me: bool = False,
        bounces: float | None = None,
    ) -> Visit:
        """A person's visit; ``bounces`` is the share of visits of one page."""
        return reading(
            dice,
            site,
            visitor or self.visitors.person(dice),
            at_us,
            landing,
            lambda then_us: self.landing(dice, site, then_us, told=dice.random() < TOLD_SHARE),
            is_me=is_me,
            anonymous=dice.random() < self.facts["anonymous"],
            bounces=self.facts["bounces"] if bounces is None else bounces,
        )
