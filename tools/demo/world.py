"""The demo's world as values: its sites with their pages, the blog's posts with their dates, and weighted draws."""

from __future__ import annotations

import bisect
import datetime
import itertools
import random
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from xml.sax.saxutils import escape

T = TypeVar("T")

# The day of the first post; later ones follow from it, so that a post keeps its date whenever the demo is run.
_FIRST_POST = datetime.date(2020, 1, 6)
POSTS_BEFORE_DAYS = 60  # posts of so many days before the history are still read in it
FEED_POSTS = 20
HALF_LIFE_DAYS = 1.7  # of a post's novelty


class Weighted(Generic[T]):
    """Values to draw from by their weights."""

    def __init__(self, pairs: Iterable[tuple[T, float]]) -> None:
        kept = [(value, weight) for value, weight in pairs if weight > 0]
        self._values = [value for value, _ in kept]
        self._sums = list(itertools.accumulate(weight for _, weight in kept))

    def draw(self, dice: random.Random) -> T:
        """One of them."""
        return self._values[bisect.bisect(self._sums, dice.random() * self._sums[-1])]


class Page(NamedTuple):
    """A page of a site."""

    path: str
    title: str
    popularity: float
    published: datetime.date | None = None  # None: long ago


@dataclass(frozen=True)
class World:
    """What world.toml says, with dates."""

    facts: dict[str, Any]
    last_day: datetime.date
    posts: list[Page]  # the newest first

    @property
    def hosts(self) -> list[str]:
        """The demo's sites."""
        return [site["host"] for site in self.facts["sites"]]

    def site(self, host: str) -> dict[str, Any]:
        """What is said of a site."""
        site: dict[str, Any] = next(site for site in self.facts["sites"] if site["host"] == host)
        return site

    def pages_of(self, site: dict[str, Any]) -> list[Page]:
        """All pages of a site that visits begin on, but for its home page."""
        if site["host"] == self.facts["posts"]["site"]:
            return [*self.posts, *_ranked(self.facts["posts"]["evergreen"])]
        return _ranked(site["pages"])

    def pages_on(self, day: datetime.date, site: dict[str, Any]) -> list[Page]:
        """Those that are there on a day, in the end."""
        return [page for page in self.pages_of(site) if page.published is None or page.published <= day]

    def page(self, host: str, path: str) -> Page:
        """A page by its path."""
        return next(page for page in self.pages_of(self.site(host)) if page.path == path)

    def newest_post(self, day: datetime.date, title: str | None = None) -> Page:
        """The newest post of a day, or the newest of a title."""
        return next(
            post
            for post in self.posts
            if post.published and post.published <= day and title in (None, post.title)
        )

    def surge_began(self, surge: dict[str, Any]) -> datetime.date:
        """The day of a surge: so many days ago, on its weekday where it has one."""
        return _surge_day(surge, self.last_day)

    def feed(self) -> str:
        """The newest posts as an Atom feed."""
        host, hour = self.facts["posts"]["site"], self.facts["posts"]["hour"]
        newest = self.posts[:FEED_POSTS]
        entries = "".join(
            f"<entry><title>{escape(post.title)}</title><link href='https://{host}{post.path}'/>"
            f"<id>https://{host}{post.path}</id><updated>{post.published}T{hour:02}:00:00Z</updated></entry>\n"
            for post in newest
        )
        return (
            "<?xml version='1.0' encoding='utf-8'?>\n<feed xmlns='http://www.w3.org/2005/Atom'>"
            f"<title>{escape(self.site(host)['home'])}</title><id>https://{host}/</id>"
            f"<updated>{newest[0].published}T{hour:02}:00:00Z</updated>\n{entries}</feed>\n"
        )


def _ranked(pages: list[list[str]]) -> list[Page]:
    """By Zipf's law, in the order of the list."""
    return [Page(path, title, 1 / rank**0.9) for rank, (path, title) in enumerate(pages, 1)]


def _surge_day(surge: dict[str, Any], last_day: datetime.date) -> datetime.date:
    day = last_day - datetime.timedelta(days=surge["days_ago"])
    if "weekday" not in surge:
        return day
    off = (surge["weekday"] - day.weekday() + 3) % 7 - 3
    return day + datetime.timedelta(days=off)


def _post(title: str, published: datetime.date, popularity: float) -> Page:
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return Page(f"/{published:%Y/%m}/{slug}/", title, popularity, published)


def _posts(facts: dict[str, Any], since: datetime.date, until: datetime.date) -> list[Page]:
    gaps, titles = facts["posts"]["gaps"], facts["posts"]["titles"]
    posts: list[Page] = []
    published = _FIRST_POST
    for number in itertools.count():
        if published > until:
            break
        title = titles[number % len(titles)]
        if published >= since:
            posts.append(_post(title, published, random.Random(title).uniform(0.4, 1.8)))
        published += datetime.timedelta(days=gaps[number % len(gaps)])
    for surge in facts["surges"]:
        if "post" in surge and since <= (day := _surge_day(surge, until)):
            posts.append(_post(surge["post"], day, 2.4))
    return sorted(posts, key=lambda post: str(post.published), reverse=True)


def load_world(first_day: datetime.date, last_day: datetime.date) -> World:
    """The world of a history of these days."""
    facts = tomllib.loads(Path(__file__).with_name("world.toml").read_text(encoding="utf-8"))
    since = first_day - datetime.timedelta(days=POSTS_BEFORE_DAYS)
    return World(facts, last_day, _posts(facts, since, last_day))


def novelty(page: Page, day: datetime.date) -> float:
    """How much a page is news on a day: 1 on its first, 0 before it and for pages of long ago."""
    if page.published is None or page.published > day:
        return 0.0
    return float(2 ** (-(day - page.published).days / HALF_LIFE_DAYS))
