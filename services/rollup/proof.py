"""Whether the rollups of a day say what its raw hits say: asked before these are dropped, as nobody can ask later.

On one snapshot, and without the refresh's lock, which it would hold for 40 s on a day of a million hits: whoever
changes hits or rollups (a refresh, a rebuild, `make renormalise`) changes both in one transaction.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import NamedTuple

from services.database import Connection, load_sql
from services.rollup import compare, sessions

_SQL = Path(__file__).with_name("sql")
DAY_IS_WAITING = load_sql(_SQL / "day_is_waiting.sql")


class Proof(NamedTuple):
    """What was found of a day."""

    day: datetime.date
    stored: int  # hits, by the ledger
    is_waiting: bool = False  # something of it is to be counted yet: not proven, and nothing wrong
    lacks_hits: bool = False  # rows are not those of the ledger: a rebuild would make things worse
    differing: tuple[str, ...] = ()  # tables that say something else

    @property
    def is_proven(self) -> bool:
        """Whether the day's raw hits may go."""
        return not (self.is_waiting or self.lacks_hits or self.differing)

    @property
    def what_to_do(self) -> str:
        """For the log."""
        if self.lacks_hits:
            return (
                "its rows are not what the ledger says was stored: do not rebuild it, see docs/operating.md"
            )
        return f"make rebuild FROM={self.day} TO={self.day}"


def prove(connection: Connection, day: datetime.date) -> Proof:
    """Compare a day's rollups with its hits. Blocks for 20 s for a million hits. Raises ``psycopg.Error``."""
    compare.prepare(connection)
    with sessions.snapshot(connection):
        connection.execute("set local jit = off")
        stored = _stored(connection, day)
        if is_waiting(connection, day):
            return Proof(day, stored, is_waiting=True)
        if compare.hits_gone(connection, day, day):
            return Proof(day, stored, lacks_hits=True)
        compare.load(connection, day)
        return Proof(day, stored, differing=tuple(compare.wrong_tables(connection, day)))


def is_waiting(connection: Connection, day: datetime.date) -> bool:
    """Whether hits or sessions of a day are to be counted yet."""
    row = connection.execute(DAY_IS_WAITING, {"day": day}).fetchone()
    return bool(row and row[0])


def is_as_proven(connection: Connection, proof: Proof) -> bool:
    """Whether no hit came to the day since then: none is stored without the ledger."""
    return _stored(connection, proof.day) == proof.stored and not is_waiting(connection, proof.day)


def _stored(connection: Connection, day: datetime.date) -> int:
    """Hits of a day, by the ledger."""
    row = connection.execute(
        "select coalesce(sum(stored), 0)::bigint from ledger where day = %s", [day]
    ).fetchone()
    return int(row[0]) if row else 0
