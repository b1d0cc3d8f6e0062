"""The numbers by which a row of ``stored_hits`` names what it has in common with others: page, title, origin, client.

A number is looked up in a cache, else in PostgreSQL, where it is made when it is not there yet. That is committed
before the hits that use it: should they fail, a number remains that nobody uses, and nothing else.

A row of these tables says on which day it was last used (``used_on``); upkeep forgets by it what only hits had that
are no longer kept. So whatever a hit uses is marked with a day not before the hit's: the cache holds rows that are
marked with the newest day it has seen, and is emptied when a newer one comes.
"""

from __future__ import annotations

import datetime
from typing import Any, LiteralString, NamedTuple

from services.database import Connection
from services.hit import Hit

# Rows a cache may hold, some 400 bytes each: a busy site's day. Beyond that it starts again.
CACHE_ROWS = 20_000

Row = tuple[Any, ...]
NO_TITLE = 0


class Table(NamedTuple):
    """A table of rows with numbers."""

    name: LiteralString
    number: LiteralString
    columns: tuple[tuple[LiteralString, LiteralString], ...]  # name and type


def _texts(*names: LiteralString) -> tuple[tuple[LiteralString, LiteralString], ...]:
    return tuple((name, "text") for name in names)


SITES = Table("sites", "site_id", _texts("site"))
PAGES = Table("pages", "page_id", (("site_id", "int4"), *_texts("host", "path")))
TITLES = Table("titles", "title_id", _texts("title"))
REFERRERS = Table("referrers", "referrer_id", _texts("source", "referrer"))
ORIGINS = Table(
    "origins",
    "origin_id",
    (
        ("referrer_id", "int4"),
        *_texts("source_detail", "channel", "query", "utm_source", "utm_medium", "utm_campaign", "utm_term"),
        *_texts("utm_content", "link_tag"),
    ),
)
CLIENTS = Table(
    "clients",
    "client_id",
    (
        *_texts("country", "browser", "os", "device", "language", "screen", "bot_name", "bot_class"),
        ("subscribers", "int4"),
    ),
)
TABLES = (SITES, PAGES, TITLES, REFERRERS, ORIGINS, CLIENTS)


def find_or_make(table: Table) -> LiteralString:
    """The statement that numbers distinct rows. Parameters: a list for each column by its name, and ``day``.

    Returns the place of each row in the lists (from 1) and its number.
    """
    names: LiteralString = ", ".join(name for name, _ in table.columns)
    lists: LiteralString = ", ".join(f"%({name})s::{kind}[]" for name, kind in table.columns)
    key: LiteralString = ", ".join(f"{name}::text" for name, _ in table.columns)
    return f"""-- enricher: numbers of {table.name}
with given as (
    select *, row_key({key}) as key
    from unnest({lists}) with ordinality as g ({names}, place)
), known as (
    select g.place, t.{table.number} as number
    from given g join {table.name} t on t.key = g.key
    where t.used_on >= %(day)s
), made as (
    insert into {table.name} as t ({names}, used_on)
    select {names}, %(day)s
    from given g
    where not exists (select from known k where k.place = g.place)
    order by g.key
    on conflict (key) do update set used_on = greatest(t.used_on, excluded.used_on)
    returning t.{table.number} as number, t.key
)
select place, number from known
union all
select g.place, m.number from made m join given g on g.key = m.key
"""


_STATEMENTS = {table.name: find_or_make(table) for table in TABLES}


def numbers_of(connection: Connection, table: Table, rows: list[Row], day: datetime.date) -> list[int]:
    """The numbers of distinct rows, in their order, committed and marked as used on ``day`` or later.

    Raises ``psycopg.Error``.
    """
    lists: dict[str, Any] = {
        name: [row[place] for row in rows] for place, (name, _) in enumerate(table.columns)
    }
    with connection.transaction():
        found = dict(connection.execute(_STATEMENTS[table.name], {**lists, "day": day}).fetchall())
    return [found[place] for place in range(1, len(rows) + 1)]


class Numbered(NamedTuple):
    """What names a hit's parts."""

    site_id: int
    page_id: int
    title_id: int
    origin_id: int
    client_id: int


class Numbers:
    """The numbers of one connection's hits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._day = datetime.date.min
        self._known: dict[str, dict[Row, int]] = {table.name: {} for table in TABLES}

    def of(self, hits: list[Hit]) -> list[Numbered]:
        """The numbers of each hit, in order. Raises ``psycopg.Error``, also for texts that PostgreSQL refuses."""
        if not hits:
            return []
        self._start_day(max(hit.day for hit in hits))
        sites = self._numbers(SITES, [(hit.site,) for hit in hits])
        pages = self._numbers(
            PAGES, [(site_id, hit.host, hit.path) for site_id, hit in zip(sites, hits, strict=True)]
        )
        referrers = self._numbers(REFERRERS, [(hit.source, hit.referrer) for hit in hits])
        origins = self._numbers(
            ORIGINS,
            [
                (
                    referrer_id, hit.source_detail, hit.channel, hit.query, hit.utm_source, hit.utm_medium,
                    hit.utm_campaign, hit.utm_term, hit.utm_content, hit.link_tag,
                )
                for referrer_id, hit in zip(referrers, hits, strict=True)
            ],
        )  # fmt: skip
        clients = self._numbers(
            CLIENTS,
            [
                (
                    hit.country, hit.browser, hit.os, hit.device, hit.language, hit.screen, hit.bot_name,
                    hit.bot_class, hit.subscribers,
                )
                for hit in hits
            ],
        )  # fmt: skip
        titles = self._titles(hits)
        return [Numbered(*row) for row in zip(sites, pages, titles, origins, clients, strict=True)]

    def _start_day(self, day: datetime.date) -> None:
        if day > self._day:
            self._day = day
            for known in self._known.values():
                known.clear()

    def _titles(self, hits: list[Hit]) -> list[int]:
        titles = {hit.title for hit in hits if hit.title is not None}
        rows = [(title,) for title in titles]
        found = dict(zip(titles, self._numbers(TITLES, rows), strict=True))
        return [NO_TITLE if hit.title is None else found[hit.title] for hit in hits]

    def _numbers(self, table: Table, rows: list[Row]) -> list[int]:
        known = self._known[table.name]
        try:
            return [known[row] for row in rows]
        except KeyError:
            new = list({row: None for row in rows if row not in known})
        if len(known) + len(new) > CACHE_ROWS:
            known.clear()
            new = list(dict.fromkeys(rows))
        known.update(zip(new, numbers_of(self._connection, table, new, self._day), strict=True))
        return [known[row] for row in rows]
