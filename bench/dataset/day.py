"""Makes a day of the data set: its hits, then what the product counts of them, by the product's own statements."""

from __future__ import annotations

import datetime
import math
from pathlib import Path
from typing import Any, NamedTuple

from bench.dataset import shape
from bench.dataset.requests import EVENTS
from services.database import Connection, load_sql
from services.rollup import add
from services.rollup.refresh import count
from services.rollup.sessions import GATHER_SESSIONS, settle_statement
from services.rollup.sessions import TABLES as SESSION_TABLES
from services.rollup.upkeep import KEEP_MINUTES

_FOLDER = Path(__file__).parent
MAKE_HITS = load_sql(_FOLDER / "make_hits.sql")
BOOK = load_sql(_FOLDER / "book.sql")
BOOK_LEFT_OUT = load_sql(_FOLDER / "book_left_out.sql")
BOOK_MINUTES = load_sql(_FOLDER / "book_minutes.sql")
SESSION_STATEMENTS = tuple(settle_statement(table) for table in SESSION_TABLES)
# What a day's rollups are made by.
COUNTED_BY = (add.TOUCH_NEW, add.TOUCH_EARLIER, add.ADD, add.TITLES, GATHER_SESSIONS, *SESSION_STATEMENTS)


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


def prepare(connection: Connection) -> None:
    """Once for each connection."""
    connection.execute(add.MAKE_TOUCHED)


def make_day(connection: Connection, share: Share) -> None:
    """Its hits, and what is counted of them. The connection must be in autocommit mode. Raises ``psycopg.Error``."""
    is_open = (shape.LAST_DAY - share.day).days < shape.OPEN_DAYS
    with connection.transaction():
        connection.execute(f"select {'open_hits_day' if is_open else 'make_hits_partition'}(%s)", [share.day])
        connection.execute(MAKE_HITS, _choices(share))
        connection.execute("select open_hits_day(%s)", [share.day])
        connection.execute(BOOK, {"day": share.day})
        connection.execute(BOOK_LEFT_OUT, {"day": share.day})
        if shape.LAST_DAY - share.day < KEEP_MINUTES:
            connection.execute(BOOK_MINUTES, {"day": share.day})
    vacuum(connection, "hits_days", f"d{share.day:%Y%m%d}", "freeze")
    step = math.ceil(len(share.batches) / share.refreshes)
    for start in range(0, len(share.batches), step):
        with connection.transaction():
            # Without the lock of a refresh: the other worker counts another day.
            count(connection, share.batches[start : start + step], [share.day], share.batches[start:])
    with connection.transaction():
        _count_sessions(connection, share.day)
    if not is_open:
        connection.execute("select close_hits_day(%s)", [share.day])


def _count_sessions(connection: Connection, day: datetime.date) -> None:
    rows = connection.execute("select site_id from sites").fetchall()
    parameters = {"day": day, "sites": [row[0] for row in rows]}
    connection.execute(GATHER_SESSIONS, parameters)
    for statement in SESSION_STATEMENTS:
        connection.execute(statement, parameters)
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


def vacuum(connection: Connection, schema: str, tables: str, *options: str) -> None:
    """As autovacuum does: each table, and not the partitioned one as a whole."""
    rows = connection.execute(
        "select format('%%I.%%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where c.relkind = 'r' and n.nspname = %s and c.relname like %s",
        [schema, tables],
    ).fetchall()
    connection.execute(
        f"vacuum ({', '.join((*options, 'analyze'))}) {', '.join(row[0] for row in rows)}".encode()
    )
