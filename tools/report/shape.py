"""What a report holds. As JSON it is the stable shape that docs/report.md describes, all else is made from it.

A key that goes or changes its meaning makes a new ``VERSION``; a key that comes does not.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

VERSION = 1


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the range against as many days right before it; a day that is not over is not compared."""

    value: int  # of all days of the range
    compared: int  # of those that are compared
    before: int | None  # None: the days before were not all counted
    change: int | None  # None: there is nothing to compare with, or the only day is not over
    change_percent: float | None
    words: str  # as the dashboards say it
    colour: str  # green: good, red: bad, text: neither


@dataclass(frozen=True, slots=True)
class Day:
    """A day of the reporting time zone."""

    day: datetime.date
    pageviews: int
    visitors: int
    is_open: bool  # not over
    pageviews_before: int | None  # of the day that it is compared with


@dataclass(frozen=True, slots=True)
class Page:
    """A page; the same page in two days has two visitors."""

    page: str  # host and path
    title: str  # the path, where it has none
    address: str
    pageviews: int
    visitors: int


@dataclass(frozen=True, slots=True)
class LedPage:
    """A page to which a source led."""

    page: str
    title: str
    referrer: str  # the first of its referrers, for a reader
    pageviews: int


@dataclass(frozen=True, slots=True)
class Source:
    """A source, and the pages to which it led most."""

    source: str
    pageviews: int
    pages: tuple[LedPage, ...]
    other_pageviews: int  # of it, of pages that are not named


@dataclass(frozen=True, slots=True)
class OtherSources:
    """The sources that are not named."""

    sources: int = 0
    pageviews: int = 0


@dataclass(frozen=True, slots=True)
class Country:
    """A country; XX: not known."""

    country: str
    name: str
    flag: str
    visitors: int
    share: float  # of all visitors, in per cent
    pageviews: int


@dataclass(frozen=True, slots=True)
class Missing:
    """A missing page, those that are missing still first."""

    page: str
    address: str
    status: str  # still missing, quiet for N days, back since DAY
    pageviews: int
    change: str
    referrer: str
    own_pageviews: int  # that came from the owner's own pages
    first_day: str
    last_day: str


@dataclass(frozen=True, slots=True)
class Post:
    """A post of the owner's feeds, with its pageviews since it was published, whatever the range."""

    title: str
    page: str
    address: str
    published: str
    pageviews_24h: int
    pageviews_7d: int
    pageviews: int


@dataclass(frozen=True, slots=True)
class Bots:
    """Hits of a kind of bot."""

    kind: str
    hits: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What makes the figures smaller than what happened, or will."""

    kind: str
    words: str
    what_to_do: str


@dataclass(frozen=True, slots=True)
class Report:
    """The figures of a range of days."""

    made_at: str
    time_zone: str
    sites: tuple[str, ...]  # that were asked for; none: all
    known_sites: tuple[str, ...]  # none: nothing was ever counted
    first_day: datetime.date
    last_day: datetime.date
    compared_until: datetime.date
    before_first_day: datetime.date
    has_open_day: bool
    counted_since: datetime.date | None
    headline: dict[str, Figure]
    pageviews_a_visitor: float | None
    by_day: tuple[Day, ...]
    pages: tuple[Page, ...]
    sources: tuple[Source, ...]
    other_sources: OtherSources
    countries: tuple[Country, ...]
    missing: tuple[Missing, ...]
    posts: tuple[Post, ...]
    bots: tuple[Bots, ...]
    last_hit: str
    problems: tuple[Problem, ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever counted."""
        return not self.known_sites


def json_of(report: Report) -> str:
    """One object, in ASCII: no text of a stranger can move a terminal's cursor."""
    document = {"version": VERSION, **dataclasses.asdict(report)}
    return json.dumps(document, indent=2, default=datetime.date.isoformat)


def with_texts(value: Any, clean: Callable[[str], str]) -> Any:
    """The same with every text in it cleaned, however deep."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, tuple):
        return tuple(with_texts(item, clean) for item in value)
    if isinstance(value, dict):
        return {key: with_texts(item, clean) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return type(value)(**{name: with_texts(getattr(value, name), clean) for name in names})
    return value
