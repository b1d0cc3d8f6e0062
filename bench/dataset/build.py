"""Makes a database of made-up hits, with all that production would have made of them.

What differs from hits that came through the pixel: a day's hits stand in the order of their time also within a batch,
and are counted by some refreshes instead of hundreds, so that fewer rows of the rollups were written anew.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from bench.dataset import shape
from bench.dataset.requests import EVENTS
from bench.dataset.vocabulary import Vocabulary
from services.database import Connection, load_sql
from services.enricher.numbers import REFERRERS, TABLES
from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import migrate
from services.rollup.refresh import (
    MAKE_TOUCHED,
    MAKE_TOUCHED_CLIENTS,
    TITLES,
    TOUCH_CLIENTS,
    TOUCH_EARLIER,
    TOUCH_NEW,
)
from services.rollup.sessions import GATHER_SESSIONS, settle_statement
from services.rollup.sessions import TABLES as SESSION_TABLES
from services.rollup_statements import ADD_STATEMENTS

WORKERS = 2  # each a connection; the cores of the machine that the figures are for
DAYS_AHEAD = 7  # as upkeep makes them
DAYS_A_VACUUM = 10  # about what autovacuum waits for: a fifth of a rollup's rows changed

_FOLDER = Path(__file__).parent
FUNCTIONS = load_sql(_FOLDER / "functions.sql")
MAKE_HITS = load_sql(_FOLDER / "make_hits.sql")
BOOK = load_sql(_FOLDER / "book.sql")
BOOK_LEFT_OUT = load_sql(_FOLDER / "book_left_out.sql")


class Share(NamedTuple):
    """A day's part of the hits."""

    day: datetime.date
    hits: int
    first_batch: int

    @property
    def hits_a_batch(self) -> int:
        """What one transaction of the enricher would have stored."""
        return max(1, min(shape.HITS_A_BATCH, self.hits // shape.REFRESHES_A_DAY))

    @property
    def batches(self) -> list[int]:
        """The numbers of those transactions."""
        return list(range(self.first_batch, self.first_batch + self.hits // self.hits_a_batch + 1))

    @property
    def refreshes(self) -> int:
        """By how many the day is counted; a very small one by fewer."""
        return max(1, min(shape.REFRESHES_A_DAY, self.hits // 100))


def shares_of(hits: int) -> list[Share]:
    """All days, in order."""
    shares, batch = [], 1
    for day, number in shape.hits_by_day(hits).items():
        shares.append(Share(day, number, batch))
        batch = shares[-1].batches[-1] + 1
    return shares


def build(url: str, hits: int, folder: Path, made: Callable[[int], None]) -> None:
    """Fill the empty database at ``url``. ``made`` is told how many hits were made. Raises ``psycopg.Error``.

    ``folder``: an empty one, for what the enricher's code wants of it.
    """
    shares = shares_of(hits)
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        migrate(connection, MIGRATIONS)
        _drop_days(connection)
        connection.execute(FUNCTIONS)
        Vocabulary(connection, folder).fill()
        with ThreadPoolExecutor(WORKERS) as pool:
            # By turns, so that the days come in their order, or nearly.
            waiting = iter(shares)
            done = [pool.submit(_work, url, waiting, made) for _ in range(WORKERS)]
        for future in done:
            future.result()
        _finish(connection, shares)


def _drop_days(connection: Connection) -> None:
    """Those that the migrations made for today."""
    rows = connection.execute(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'stored_hits'::regclass"
    ).fetchall()
    for (partition,) in rows:
        connection.execute(f"drop table {partition}".encode())


def _work(url: str, waiting: Iterable[Share], made: Callable[[int], None]) -> None:
    """Make days until none is left."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute(MAKE_TOUCHED)
        connection.execute(MAKE_TOUCHED_CLIENTS)
        for share in waiting:
            _make_day(connection, share)
            made(share.hits)
            if (share.day - shape.FIRST_DAY).days % DAYS_A_VACUUM == DAYS_A_VACUUM - 1:
                _vacuum(connection, "public", "rollup_%")


def _make_day(connection: Connection, share: Share) -> None:
    is_open = (shape.LAST_DAY - share.day).days < shape.OPEN_DAYS
    with connection.transaction():
        connection.execute(f"select {'open_hits_day' if is_open else 'make_hits_partition'}(%s)", [share.day])
        connection.execute(MAKE_HITS, _choices(share))
        connection.execute("select open_hits_day(%s)", [share.day])
        connection.execute(BOOK, {"day": share.day})
        connection.execute(BOOK_LEFT_OUT, {"day": share.day})
    _vacuum(connection, "hits_days", f"d{share.day:%Y%m%d}", "freeze")
    step = math.ceil(len(share.batches) / share.refreshes)
    for start in range(0, len(share.batches), step):
        with connection.transaction():
            _refresh(connection, share, share.batches[start : start + step], share.batches[start:])
    with connection.transaction():
        _count_sessions(connection, share.day)
    if not is_open:
        connection.execute("select close_hits_day(%s)", [share.day])


def _refresh(connection: Connection, share: Share, batches: list[int], waiting: list[int]) -> None:
    """Count batches as ``services.rollup.refresh`` does, but for its lock: the other worker counts another day."""
    connection.execute(TOUCH_NEW, {"days": [share.day], "batches": batches})
    connection.execute(TOUCH_EARLIER, {"days": [share.day], "waiting": waiting})
    for statement in (TOUCH_CLIENTS, *ADD_STATEMENTS):
        connection.execute(statement)
    # Last: it holds rows that the other worker wants.
    connection.execute(TITLES)


def _count_sessions(connection: Connection, day: datetime.date) -> None:
    rows = connection.execute("select site_id from sites").fetchall()
    parameters = {"day": day, "sites": [row[0] for row in rows]}
    connection.execute(GATHER_SESSIONS, parameters)
    for table in SESSION_TABLES:
        connection.execute(settle_statement(table), parameters)
    connection.execute("drop table pg_temp.day_sessions")


def _choices(share: Share) -> dict[str, Any]:
    """Parameters of make_hits.sql."""
    number = (share.day - shape.FIRST_DAY).days
    return {
        "day": share.day,
        "day_number": number + 1,
        "is_late": number >= shape.DAYS // 2,
        "hits": share.hits,
        # More than enough: those that come too late are left out.
        "sessions": round(share.hits / shape.HITS_A_SESSION * 1.1) + 300,
        "first_batch": share.first_batch,
        "hits_a_batch": share.hits_a_batch,
        "bots": shape.BOT_SESSIONS,
        "owners": shape.OWNER_SESSIONS,
        "anonymous": shape.ANONYMOUS_SESSIONS,
        "campaigns": shape.CAMPAIGN_SESSIONS,
        "external": shape.EXTERNAL_SESSIONS,
        "bounces": shape.BOUNCES,
        "events": shape.EVENTS,
        "missing": shape.MISSING,
        "without_title": shape.WITHOUT_TITLE,
        "referrer_places": shape.REFERRERS,
        "first_campaign": 1 + shape.REFERRERS,
        "campaign_places": shape.CAMPAIGNS,
        "missing_places": shape.MISSING_PAGES,
        "event_places": len(EVENTS),
        "countries": len(shape.COUNTRIES),
        "looks": shape.LOOKS,
        "first_bot": len(shape.COUNTRIES) * shape.LOOKS,
        "bot_places": shape.BOTS,
        "bot_countries": shape.BOT_COUNTRIES,
    }


def _finish(connection: Connection, shares: list[Share]) -> None:
    """What is for all days together: numbers, the days to come, statistics."""
    _forget_unused(connection)
    connection.execute("drop schema bench cascade")
    connection.execute("select setval('hits_batch_id_seq', %s)", [shares[-1].batches[-1]])
    connection.execute(
        "select open_hits_day(%s::date + d) from generate_series(1, %s) as d", [shape.LAST_DAY, DAYS_AHEAD]
    )
    _vacuum(connection, "public", "%")


def _vacuum(connection: Connection, schema: str, tables: str, *options: str) -> None:
    """As autovacuum does: each table, and not the partitioned one as a whole, which has no statistics then."""
    rows = connection.execute(
        "select format('%%I.%%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and n.nspname = %s and c.relname like %s",
        [schema, tables],
    ).fetchall()
    connection.execute(
        f"vacuum ({', '.join((*options, 'analyze'))}) {', '.join(row[0] for row in rows)}".encode()
    )


def _forget_unused(connection: Connection) -> None:
    """Numbers that no hit has; and which day each of the others was last used on."""
    for table in TABLES:
        number = table.number
        hits = "stored_hits join origins using (origin_id)" if table is REFERRERS else "stored_hits"
        connection.execute(
            f"create temporary table used as select {number}, max(day) as day from {hits} group by {number}"
        )
        connection.execute(
            f"delete from {table.name} t where not exists (select from pg_temp.used u where u.{number} = t.{number})"
        )
        connection.execute(
            f"update {table.name} t set used_on = u.day from pg_temp.used u"
            f" where u.{number} = t.{number} and t.used_on <> u.day"
        )
        connection.execute("drop table pg_temp.used")
        connection.execute(f"vacuum (full) {table.name}")
