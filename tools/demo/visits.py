"""One visit as hits: the page it begins on, the pages after it, and what is done on them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from services.hit import PAGEVIEW, RawHit
from tools.demo.visitors import Visitor
from tools.demo.world import Page

MOST_PAGES = 12
GOES_ON = 0.55  # after the second page
READS_S = (12, 190)  # between two pages
FOLLOWS_LINKS = 0.45  # of next pages: those that every page links to
_TITLES = {"/archive/": "Archive", "/about/": "About", "/now/": "Now", "/uses/": "Uses", "/search/": "Search"}


class Landing(NamedTuple):
    """A page as somebody comes to it."""

    path: str
    title: str
    query: str = ""
    referrer: str = ""
    status: int | None = None


class Visit(NamedTuple):
    """The hits of one visit, in their order; their ids and days are still to be set."""

    visitor: Visitor
    hits: list[RawHit]

    @property
    def end_us(self) -> int:
        """When the last hit came."""
        return self.hits[-1].received_at_us


class _Writer:
    """Puts hits of one visitor together."""

    def __init__(self, site: str, visitor: Visitor, is_me: bool, anonymous: bool) -> None:
        self.hits: list[RawHit] = []
        self._site = site
        self._visitor = visitor
        self._is_me, self._anonymous = is_me, anonymous

    def add(
        self, at_us: int, page: Landing, event: str = PAGEVIEW, props: dict[str, Any] | None = None
    ) -> None:
        url = f"https://{self._site}{page.path}" + (f"?{page.query}" if page.query else "")
        self.hits.append(
            RawHit(
                hit_id=bytes(16), received_at_us=at_us, day="1970-01-01", site=self._site, url=url,
                address=self._visitor.address, user_agent=self._visitor.user_agent, referrer=page.referrer,
                title=page.title, event=event, language=self._visitor.language, screen=self._visitor.screen,
                status=page.status, props=props, is_me=self._is_me, anonymous=self._anonymous,
            )
        )  # fmt: skip


def reading(
    dice: random.Random,
    site: dict[str, Any],
    visitor: Visitor,
    at_us: int,
    landing: Landing,
    next_page: Callable[[int], Landing],
    *,
    is_me: bool,
    anonymous: bool,
    bounces: float,
) -> Visit:
    """A person's visit that begins on a page; ``next_page`` draws another one of the site at a time."""
    writer = _Writer(site["host"], visitor, is_me, anonymous)
    page = landing
    for number in range(MOST_PAGES):
        writer.add(at_us, page)
        _events(dice, site, writer, at_us, page)
        if dice.random() < (bounces if number == 0 else 1 - GOES_ON):
            break
        came_from = f"https://{site['host']}{page.path}"
        at_us += int(dice.uniform(*READS_S) * 1_000_000)
        page = _follow(dice, site, next_page(at_us))._replace(referrer=came_from)
    return Visit(visitor, sorted(writer.hits, key=lambda hit: hit.received_at_us))


def _follow(dice: random.Random, site: dict[str, Any], other: Landing) -> Landing:
    if dice.random() >= FOLLOWS_LINKS:
        return other
    paths, weights = zip(*site["follow"], strict=True)
    [path] = dice.choices(paths, weights)
    return Landing(path, site["home"] if path == "/" else _title_of(path))


def _title_of(path: str) -> str:
    return _TITLES.get(path) or path.strip("/").rpartition("/")[2].replace("-", " ").capitalize()


def _events(dice: random.Random, site: dict[str, Any], writer: _Writer, at_us: int, page: Landing) -> None:
    if page.status:
        return
    for event in site["events"]:
        if dice.random() < event["chance"]:
            seconds = dice.randint(6, 240)
            props = {"seconds": seconds} if event.get("seconds") else _one_of(dice, event["props"])
            after_us = int(min(seconds, READS_S[0]) * dice.uniform(0.3, 1) * 1_000_000)
            writer.add(at_us + after_us, page._replace(referrer=""), event["event"], props)


def _one_of(dice: random.Random, props: list[dict[str, Any]]) -> dict[str, Any]:
    """By Zipf's law, in the order of the list."""
    return dice.choices(props, [1 / rank for rank in range(1, len(props) + 1)])[0]


def request_of_bot(
    dice: random.Random,
    site: dict[str, Any],
    visitor: Visitor,
    at_us: int,
    page: Page | None,
    paths: list[str],
) -> Visit:
    """A program asks for one page, or for what programs ask for."""
    writer = _Writer(site["host"], visitor, False, False)
    path = dice.choice(paths)
    is_missing = path.startswith("!")
    landing = (
        Landing(page.path, page.title)
        if page
        else Landing(
            path.lstrip("!"), "Page not found" if is_missing else "", status=404 if is_missing else None
        )
    )
    writer.add(at_us, landing)
    return Visit(visitor, writer.hits)
