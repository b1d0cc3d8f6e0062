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
        *_texts("source", "source_detail", "channel", "query", "utm_source", "utm_medium", "utm_campaign"),
        *_texts("utm_term", "utm_content", "link_tag"),
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

    Returns the place of each row in the lists (from 1) and its number. A row that somebody deletes at this moment is
    missing: ask again. What is there is updated and not inserted in vain, as that would use a number up each time.
    """
    names: LiteralString = ", ".join(name for name, _ in table.columns)
    lists: LiteralString = ", ".join(f"%({name})s::{kind}[]" for name, kind in table.columns)
    key: LiteralString = ", ".join(f"{name}::text" for name, _ in table.columns)
    return f"""-- enricher: numbers of {table.name}
with given as materialized (
    select {names}, place, row_key({key}) as key
    from unnest({lists}) with ordinality as g ({names}, place),
         -- This commit need not be on disk: those of the hits that use these numbers come after it in the WAL. One
         -- sync a batch instead of two to seven.
         set_config('synchronous_commit', 'off', true)
), known as materialized (
    select g.place, t.{table.number} as number, t.used_on
    from given g join {table.name} t on t.key = g.key
), locked as (
    -- In one order, so that two enrichers at midnight wait and do not deadlock.
    select t.{table.number} as number
    from {table.name} t
    where t.{table.number} in (select number from known where used_on < %(day)s)
    order by t.{table.number}
    for no key update
), marked as (
    update {table.name} t set used_on = greatest(t.used_on, %(day)s)
    from locked l
    where t.{table.number} = l.number
    returning t.{table.number} as number
), made as (
    insert into {table.name} as t ({names}, used_on)
    select {names}, %(day)s
    from given g
    where not exists (select from known k where k.place = g.place)
    order by g.key
    on conflict (key) do update set used_on = greatest(t.used_on, excluded.used_on)
    returning t.{table.number} as number, t.key
)
select place, number from known where used_on >= %(day)s
union all
select k.place, k.number from known k join marked m on m.number = k.number
union all
select g.place, m.number from made m join given g on g.key = m.key
"""


_STATEMENTS = {table.name: find_or_make(table) for table in TABLES}


def numbers_of(connection: Connection, table: Table, rows: list[Row], day: datetime.date) -> list[int]:
    """The numbers of distinct rows, in their order, marked as used on ``day`` or later.

    To be called in a transaction of their own, which is not synced, and used once it is committed.

    Raises ``psycopg.Error``.
    """
    lists: dict[str, Any] = {
        name: [row[place] for row in rows] for place, (name, _) in enumerate(table.columns)
    }
    found: dict[int, int] = {}
    while len(found) < len(rows):  # one that was being deleted is made anew
        found = dict(connection.execute(_STATEMENTS[table.name], {**lists, "day": day}).fetchall())
    return [found[place] for place in range(1, len(rows) + 1)]


# A hit's fields, as they stand together in Hit.
_FIELDS = Hit.__struct_fields__
_PAGE = slice(_FIELDS.index("site"), _FIELDS.index("title"))
_DAY = _FIELDS.index("day")
_TITLE = _FIELDS.index("title")
_ORIGIN = slice(_FIELDS.index("source"), _FIELDS.index("country"))
_CLIENT = slice(_FIELDS.index("country"), _FIELDS.index("status"))


# site_id, page_id, title_id, origin_id, client_id
Numbered = tuple[int, int, int, int, int]
_Key = tuple[Row, str | None, Row, Row]  # page, title, origin, client


class Numbers:
    """The numbers of one connection's hits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._day = datetime.date.min
        self._known: dict[Table, dict[Any, int]] = {}  # what names a row: its number
        self._forget()

    def of(self, hits: list[Row]) -> list[Numbered]:
        """The numbers of each hit, in order. A hit is given as the tuple of its fields.

        Raises ``psycopg.Error``, also for texts that PostgreSQL refuses.
        """
        if not hits:
            return []
        self._start_day(max(hit[_DAY] for hit in hits))
        keys = [(hit[_PAGE], hit[_TITLE], hit[_ORIGIN], hit[_CLIENT]) for hit in hits]
        try:
            return self._look_up(keys)
        except KeyError:
            self._learn(keys)
        return self._look_up(keys)

    def _look_up(self, keys: list[_Key]) -> list[Numbered]:
        """Raises ``KeyError`` for what is not known."""
        sites, pages, titles, _, origins, clients = (self._known[table] for table in TABLES)
        return [
            (sites[page[0]], pages[page], titles[title], origins[origin], clients[client])
            for page, title, origin, client in keys
        ]

    def _start_day(self, day: datetime.date) -> None:
        if day > self._day:
            self._day = day
            self._forget()

    def _forget(self) -> None:
        self._known = {table: {} for table in TABLES}
        self._known[TITLES][None] = NO_TITLE

    def _learn(self, keys: list[_Key]) -> None:
        """Number what is not known yet, in one transaction: each costs two round trips and a commit.

        The tables always in this order, so that two enrichers with the same new rows wait and do not deadlock.
        """
        if max(map(len, self._known.values())) > CACHE_ROWS:
            self._forget()
        pages, titles, origins, clients = (set(column) for column in zip(*keys, strict=True))
        try:
            with self._connection.transaction():
                self._learn_pages(pages)
                self._number(TITLES, {title: (title,) for title in titles})
                self._learn_origins(origins)
                self._number(CLIENTS, {client: client for client in clients})
        except BaseException:
            self._forget()  # what is known is committed
            raise

    def _learn_pages(self, pages: set[Row]) -> None:
        self._number(SITES, {site: (site,) for site, _, _ in pages})
        sites = self._known[SITES]
        self._number(PAGES, {page: (sites[page[0]], *page[1:]) for page in pages})

    def _learn_origins(self, origins: set[Row]) -> None:
        self._number(REFERRERS, {origin[:2]: origin[:2] for origin in origins})
        referrers = self._known[REFERRERS]
        rows = {origin: (referrers[origin[:2]], origin[0], *origin[2:]) for origin in origins}
        self._number(ORIGINS, rows)

    def _number(self, table: Table, rows: dict[Any, Row]) -> None:
        """Know the number of each row, by what names it."""
        known = self._known[table]
        # Asked by the row: `rows.keys() - known.keys()` looks at all that is known, 5 ms with full caches.
        new = {name: row for name, row in rows.items() if name not in known}
        if new:
            known.update(
                zip(new, numbers_of(self._connection, table, list(new.values()), self._day), strict=True)
            )
