"""The tables of numbers of the made-up hits: sites, pages, titles, referrers, origins, clients.

Their rows are what the enricher makes of requests, numbered by its own code; the tables ``bench.*`` say which number
stands at which place, from which ``make_hits.sql`` draws. What no hit came to use is forgotten by ``build``.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import astuple, replace
from psycopg.types.json import Jsonb

from bench.dataset import requests, shape
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


class _Anonymous:
    """No request of the vocabulary has a session."""

    def session_id(
        self,
        day: str,
        site: str,
        address: str,
        user_agent: str,
        now: datetime.datetime,
        one_off_key: str | None = None,
    ) -> bytes | None:
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


def looks(reader: Reader) -> list[Hit]:
    """People's clients that differ in what is kept of them, without a country."""
    found: dict[tuple[str | None, ...], Hit] = {}
    for client in requests.clients():
        hit = reader.hit(shape.SITES[0].name, **client._asdict())
        found.setdefault((hit.browser, hit.os, hit.device, hit.language, hit.screen), hit)
        if len(found) == shape.LOOKS:
            break
    return list(found.values())


class Vocabulary:
    """Fills the tables of one database. The connection must be in autocommit mode."""

    def __init__(self, connection: Connection, folder: Path, sites: tuple[shape.Site, ...]) -> None:
        self._connection = connection
        self._numbers = Numbers(connection)
        self._reader = Reader(folder)
        self._sites = sites

    def fill(self) -> None:
        """All of it. Raises ``psycopg.Error``."""
        self._origins()
        self._clients()
        self._pages()
        events = (
            (place, name, None if props is None else Jsonb(props))
            for place, (name, props) in enumerate(requests.EVENTS)
        )
        self._put("events", "place, event, props", events)
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
        hits += [self._reader.hit(site, referrer=referrer) for referrer in requests.referrers()]
        hits += [
            self._reader.hit(site, f"/?{query}", referrer=referrer)
            for query, referrer in requests.campaigns()
        ]
        self._put("origins", "place, origin_id", enumerate(row.origin_id for row in self._number(hits)))

    def _clients(self) -> None:
        site = shape.SITES[0].name
        people = looks(self._reader)
        rows = [replace(hit, country=country) for country in shape.COUNTRIES for hit in people]
        for agent in requests.bots():
            hit = self._reader.hit(site, user_agent=agent)
            rows += [replace(hit, country=country) for country in shape.COUNTRIES[: shape.BOT_COUNTRIES]]
        self._put("clients", "place, client_id", enumerate(row.client_id for row in self._number(rows)))

    def _pages(self) -> None:
        place, reached = 0, 0.0
        for site in self._sites:
            pages = [*requests.pages_of(site), *requests.missing_pages_of(site)]
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
