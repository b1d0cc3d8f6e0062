"""The tables of numbers of the made-up hits: sites, pages, titles, referrers, origins, clients.

Their rows are what the enricher makes of requests, numbered by its own code; the tables ``bench.*`` say which number
stands at which place, from which ``make_hits.sql`` draws. What no hit came to use is forgotten by ``build``.
"""

from __future__ import annotations

import datetime
import itertools
import random
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from msgspec.structs import astuple, replace
from psycopg.types.json import Jsonb

from bench.dataset import shape
from bench.traffic import LANGUAGES, NAMED_REFERRERS, SCREENS, WORDS, make_traffic
from services.database import Connection
from services.enricher.agents import Agents
from services.enricher.enrich import Enricher
from services.enricher.numbers import Numbers
from services.enricher.sources import sources_of
from services.hit import Hit, RawHit
from services.settings import load_settings


class Numbered(NamedTuple):
    """What the enricher calls the parts of a hit."""

    site_id: int
    page_id: int
    title_id: int
    origin_id: int
    client_id: int


CHUNK = 5_000  # rows numbered by one statement
NOW = datetime.datetime.combine(shape.LAST_DAY, datetime.time(12), datetime.UTC)
# With those of the load: more languages than it needs, for so many different clients.
MORE_LANGUAGES = (
    "en", "de", "fr", "es-MX", "pt-PT", "sv-SE", "da-DK", "fi-FI", "nb-NO", "cs-CZ", "hu-HU", "ro-RO", "tr-TR",
    "uk-UA", "ru-RU", "el-GR", "he-IL", "ko-KR", "zh-CN", "zh-TW",
)  # fmt: skip
MEDIA = ("email", "social", "cpc", "referral", "print")
EVENTS: tuple[tuple[str, dict[str, str | int] | None], ...] = (
    ("download", {"file": "handbook.pdf"}),
    ("download", {"file": "slides.pdf"}),
    ("signup", {"plan": "small", "from": "header"}),
    ("signup", {"plan": "large", "from": "footer"}),
    ("outbound", {"host": "example.org"}),
    ("outbound", {"host": "example.net"}),
    ("search", {"results": 0}),
    ("search", {"results": 12}),
    ("play", None),
    ("copy", None),
)


class _Anonymous:
    """No request of the vocabulary has a session."""

    def session_id(
        self, day: str, site: str, address: str, user_agent: str, now: datetime.datetime
    ) -> uuid.UUID | None:
        return None


class Reader:
    """The enricher's answer to requests that differ in one thing; the rest is the same for all."""

    def __init__(self, folder: Path) -> None:
        settings = load_settings({"DATA_DIR": str(folder)})
        self._enricher = Enricher(settings, Agents(), sources_of(settings), lambda _: None, _Anonymous())

    def hit(
        self,
        site: str,
        path: str = "/",
        *,
        title: str = "",
        referrer: str = "",
        user_agent: str = "",
        screen: str = "",
        language: str = "",
    ) -> Hit:
        """A row of ``hits``."""
        raw = RawHit(
            hit_id=bytes(16), received_at_us=int(NOW.timestamp() * 1e6), day=NOW.date().isoformat(), site=site,
            url=f"https://{site}{path}", address="", title=title, referrer=referrer, user_agent=user_agent,
            screen=screen, language=language, anonymous=True,
        )  # fmt: skip
        return self._enricher.enrich(raw, NOW)


class Page(NamedTuple):
    """A page of a site, and what it was called later."""

    path: str
    title: str
    later_title: str


def pages_of(site: shape.Site) -> list[Page]:
    """The pages that are there, the most read first."""
    dice = random.Random(f"pages of {site.name}")
    pages = []
    for number in range(site.pages):
        words = dice.sample(WORDS, 5)
        title = " ".join(words).capitalize()
        later = f"{title}, revised" if number % shape.RENAMED_PAGE_EVERY == 0 else title
        folder = f"/{2015 + number % 12}/{number % 12 + 1:02d}"
        pages.append(Page(f"{folder}/{'-'.join(words)}-{number}/", title, later))
    return pages


def missing_pages_of(site: shape.Site) -> list[Page]:
    """Those that are not."""
    title = f"Page not found – {site.name}"
    return [Page(f"/lost/{number}/", title, title) for number in range(shape.MISSING_PAGES)]


def referrers() -> list[str]:
    """Other sites' addresses, the commonest first."""
    others = (f"https://reader-{n}.example/feed/{n}" for n in itertools.count())
    return [*NAMED_REFERRERS, *itertools.islice(others, shape.REFERRERS - len(NAMED_REFERRERS))]


def looks(reader: Reader) -> list[Hit]:
    """People's clients that differ in what is kept of them, without a country."""
    dice = random.Random("looks")
    agents, languages = make_traffic(0, bots=False).agents, (*LANGUAGES, *MORE_LANGUAGES)
    found: dict[tuple[str | None, ...], Hit] = {}
    while len(found) < shape.LOOKS:
        hit = reader.hit(
            shape.SITES[0].name,
            user_agent=dice.choice(agents),
            screen=dice.choice(SCREENS),
            language=dice.choice(languages),
        )
        found.setdefault((hit.browser, hit.os, hit.device, hit.language, hit.screen), hit)
    return list(found.values())


def bots() -> list[str]:
    """User-Agents of bots, one each."""
    agents = (known["instances"][0] for known in CRAWLER_USER_AGENTS_DATA if known["instances"])
    return list(itertools.islice(agents, shape.BOTS))


def _campaigns(reader: Reader) -> Iterator[Hit]:
    known = referrers()
    for number in range(shape.CAMPAIGNS):
        query = f"utm_source=letter-{number // 4}&utm_medium={MEDIA[number % 5]}&utm_campaign=season-{number // 6}"
        if number % 3 == 0:
            query += f"&utm_content=button-{number % 7}"
        yield reader.hit(
            shape.SITES[0].name, f"/?{query}", referrer=known[number] if number % 2 else ""
        )  # half of them are opened in a mail program


class Vocabulary:
    """Fills the tables of one database. The connection must be in autocommit mode."""

    def __init__(self, connection: Connection, folder: Path) -> None:
        self._connection = connection
        self._numbers = Numbers(connection)
        self._reader = Reader(folder)

    def fill(self) -> None:
        """All of it. Raises ``psycopg.Error``."""
        self._origins()
        self._clients()
        self._pages()
        self._put("events", "place, event, props", (
            (place, name, None if props is None else Jsonb(props)) for place, (name, props) in enumerate(EVENTS)
        ))  # fmt: skip
        self._connection.execute("analyze")

    def _put(self, table: str, columns: str, rows: Iterable[tuple[object, ...]]) -> None:
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"copy bench.{table} ({columns}) from stdin".encode()) as copy,
        ):
            for row in rows:
                copy.write_row(row)

    def _number(self, hits: Iterable[Hit]) -> list[Numbered]:
        waiting = list(hits)
        return [
            numbered
            for start in range(0, len(waiting), CHUNK)
            for numbered in map(
                Numbered._make, self._numbers.of([astuple(hit) for hit in waiting[start : start + CHUNK]])
            )
        ]

    def _origins(self) -> None:
        site = shape.SITES[0].name
        hits = [self._reader.hit(site)]
        hits += [self._reader.hit(site, referrer=referrer) for referrer in referrers()]
        hits += _campaigns(self._reader)
        self._put("origins", "place, origin_id", enumerate(row.origin_id for row in self._number(hits)))

    def _clients(self) -> None:
        site = shape.SITES[0].name
        people = looks(self._reader)
        rows = [replace(hit, country=country) for country in shape.COUNTRIES for hit in people]
        for agent in bots():
            hit = self._reader.hit(site, user_agent=agent)
            rows += [replace(hit, country=country) for country in shape.COUNTRIES[: shape.BOT_COUNTRIES]]
        self._put("clients", "place, client_id", enumerate(row.client_id for row in self._number(rows)))

    def _pages(self) -> None:
        place, reached = 0, 0.0
        for site in shape.SITES:
            pages = [*pages_of(site), *missing_pages_of(site)]
            here = self._number(self._reader.hit(site.name, page.path, title=page.title) for page in pages)
            # The title of later, of a hit that was led there by a link from this page.
            linked = self._number(
                self._reader.hit(
                    site.name, page.path, title=page.later_title, referrer=f"https://{site.name}{page.path}"
                )
                for page in pages
            )
            self._put(
                "pages",
                "place, page_id, is_missing, title_id, later_title_id, link_origin_id",
                (
                    (
                        place + rank,
                        page.page_id,
                        rank >= site.pages,
                        page.title_id,
                        link.title_id,
                        link.origin_id,
                    )
                    for rank, (page, link) in enumerate(zip(here, linked, strict=True))
                ),
            )
            self._put(
                "sites",
                "site_id, first_page, pages, first_missing, from_share, to_share",
                [(here[0].site_id, place, site.pages, place + site.pages, reached, reached + site.share)],
            )
            place += len(pages)
            reached += site.share
