"""What a batch leaves beside its hits, in their transaction: the ledger, word for the rollups, how long hits took."""

from __future__ import annotations

import datetime
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from services.database import Connection, load_sql
from services.enricher.time_limits import moment_of
from services.hit import Hit

BOOK_HITS = load_sql(Path(__file__).with_name("sql") / "book_hits.sql")
LATE_AFTER_S = 60.0
_HOUR_US = 3_600_000_000


class DayClosed(psycopg.OperationalError):
    """The batch is to be tried again, and will open the day."""


class Entry(NamedTuple):
    """Of the ledger: hits that a group says it holds, and those of them that are dead letters."""

    site: str
    day: datetime.date
    accepted: int
    dead_lettered: int


def book(
    connection: Connection, batch_id: int, entries: Iterable[Entry], stored: list[Hit], measured: list[Hit]
) -> None:
    """Book the entries and what was stored. ``measured``: those of the stored that somebody waited for.

    Raises ``DayClosed`` where nothing kept a hit of this transaction from being stored twice: asked after the COPY,
    whose lock keeps upkeep from closing a day until the commit.
    """
    found = connection.execute(
        BOOK_HITS,
        {"batch_id": batch_id, "hit_days": list({hit.day for hit in stored})}
        | _sums(entries, stored)
        | _delays(measured)
        | _late(measured),
    ).fetchone()
    if found and found[0] is False:
        raise DayClosed("upkeep closed a day while its hits were stored: try again")


def _sums(entries: Iterable[Entry], stored: list[Hit]) -> dict[str, Any]:
    accepted: Counter[tuple[str, datetime.date]] = Counter()
    dead_lettered: Counter[tuple[str, datetime.date]] = Counter()
    for entry in entries:
        accepted[entry.site, entry.day] += entry.accepted
        dead_lettered[entry.site, entry.day] += entry.dead_lettered
    rows = Counter((hit.site, hit.day) for hit in stored)
    keys = list(dict.fromkeys([*accepted, *rows]))
    return {
        "sites": [site for site, _ in keys],
        "days": [day for _, day in keys],
        "accepted": [accepted[key] for key in keys],
        "dead_lettered": [dead_lettered[key] for key in keys],
        "stored": [rows[key] for key in keys],
    }


def _delays(hits: list[Hit]) -> dict[str, Any]:
    """How many, the first and the last, and what the others came after the first, added up."""
    received = [hit.received_at_us for hit in hits]
    if not hits:
        return {"measured": 0, "oldest": None, "newest": None, "after_oldest": datetime.timedelta()}
    oldest = min(received)
    after_oldest_us = sum(received) - len(received) * oldest
    return {
        "measured": len(received),
        "oldest": moment_of(oldest),
        "newest": moment_of(max(received)),
        "after_oldest": datetime.timedelta(microseconds=after_oldest_us),
    }


def _late(hits: list[Hit]) -> dict[str, Any]:
    """By the hour (UTC) in which they were received, and site."""
    limit_us = int((time.time() - LATE_AFTER_S) * 1_000_000)
    late: dict[tuple[int, str], list[int]] = defaultdict(list)
    for hit in hits:
        if hit.received_at_us < limit_us:
            late[hit.received_at_us // _HOUR_US, hit.site].append(hit.received_at_us)
    return {
        "late_hours": [moment_of(hour * _HOUR_US) for hour, _ in late],
        "late_sites": [site for _, site in late],
        "late_hits": [len(received) for received in late.values()],
        "late_oldest": [moment_of(min(received)) for received in late.values()],
    }
