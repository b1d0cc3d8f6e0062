"""Visits that have an occasion: a link that many follow at once, a campaign, a link to a page that is not there."""

from __future__ import annotations

import datetime
import math
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from tools.demo.scene import HOUR_US, Scene
from tools.demo.visits import Landing, Visit
from tools.demo.world import Page, Weighted

SURGE_US = 60 * HOUR_US  # what is left after that is lost among other visits
SURGE_BOUNCES = 0.86  # who comes for one page reads one page


class Occasions:
    """The visits of a scene that have one."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._world = scene.world
        self._facts = scene.facts

    def visits_on(self, dice: random.Random, day: datetime.date) -> Iterator[Visit]:
        """All of a day."""
        yield from self._missing(dice, day)
        yield from self._campaigns(dice, day)
        yield from self._surges(dice, day)

    def visit_missing(self, dice: random.Random, missing: dict[str, Any], at_us: int) -> Visit:
        """Somebody comes to a page that is not there."""
        landing = Landing(missing["path"], "Page not found", referrer=_referrer(dice, missing), status=404)
        return self._scene.visit(dice, self._world.site(missing["site"]), at_us, landing)

    def _missing(self, dice: random.Random, day: datetime.date) -> Iterator[Visit]:
        ago = self._scene.ago(day)
        for missing in self._facts["missing"]:
            if missing.get("repaired", -1) < ago <= missing.get("since", ago):
                for _ in range(_whole(dice, missing["visits"])):
                    yield self.visit_missing(dice, missing, self._scene.days.moment(dice, day))

    def _campaigns(self, dice: random.Random, day: datetime.date) -> Iterator[Visit]:
        ago = self._scene.ago(day)
        for campaign in self._facts["campaigns"]:
            if not campaign["last"] <= ago <= campaign["first"]:
                continue
            number, age = divmod(campaign["first"] - ago, campaign["every"])
            site = self._world.site(campaign["site"])
            for _ in range(_whole(dice, campaign["visits"] / 2**age)):
                landing = self._tagged(dice, campaign, day - datetime.timedelta(days=age), number + 1)
                yield self._scene.visit(dice, site, self._scene.days.moment(dice, day), landing)

    def _tagged(
        self, dice: random.Random, campaign: dict[str, Any], began_on: datetime.date, number: int
    ) -> Landing:
        tags = {name: value.format(n=number) for name, value in campaign["tags"].items()}
        if "contents" in campaign:
            tags["utm_content"] = dice.choice(campaign["contents"])
        page = (
            self._world.page(campaign["site"], dice.choice(campaign["pages"]))
            if "pages" in campaign
            else self._world.newest_post(
                began_on - datetime.timedelta(days=1)
            )  # which was there in the morning
        )
        return Landing(page.path, page.title, urlencode(tags), _referrer(dice, campaign))

    def _surges(self, dice: random.Random, day: datetime.date) -> Iterator[Visit]:
        for surge in self._facts["surges"]:
            began_on = self._world.surge_began(surge)
            start_us = self._scene.days.begin(began_on) + surge["hour"] * HOUR_US
            for at_us in _surge_times(dice, surge, self._scene, day, start_us):
                page = self._read_in(surge, began_on)
                landing = Landing(page.path, page.title, referrer=_referrer(dice, surge))
                site = self._world.site(surge["site"])
                yield self._scene.visit(dice, site, at_us, landing, bounces=SURGE_BOUNCES)

    def _read_in(self, surge: dict[str, Any], began_on: datetime.date) -> Page:
        if "page" in surge:
            return self._world.page(surge["site"], surge["page"])
        return self._world.newest_post(began_on, surge.get("post"))


def _surge_times(
    dice: random.Random, surge: dict[str, Any], scene: Scene, day: datetime.date, start_us: int
) -> list[int]:
    """When those of a surge come that come on a day: half as many after each half-life."""
    half_us = surge["half_life_h"] * HOUR_US
    since_us = max(0, scene.days.begin(day) - start_us)
    until_us = min(SURGE_US, scene.days.end(day) - start_us)
    if until_us <= since_us:
        return []
    left, right = 2 ** (-since_us / half_us), 2 ** (-until_us / half_us)
    number = _whole(dice, surge["visits"] * (left - right))
    return [start_us - int(half_us * math.log2(dice.uniform(right, left))) for _ in range(number)]


def _referrer(dice: random.Random, entry: dict[str, Any]) -> str:
    referrers: Weighted[str] = Weighted((referrer, weight) for referrer, weight in entry["from"])
    return referrers.draw(dice)


def _whole(dice: random.Random, number: float) -> int:
    """A number of visits whose mean is the number."""
    spread = number * dice.uniform(0.8, 1.2)
    return int(spread) + (dice.random() < spread % 1)
