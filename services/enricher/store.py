"""Writes a batch to PostgreSQL in one transaction: hits, ledger, dead letters, word for the rollups.

Exactly once: a group is taken by its number (``stream_groups``), a hit by site, day and id (the index of its day).
Entries are acknowledged only after the commit, so that a killed enricher's batch comes again and changes nothing.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import psycopg

from services.database import Connection, load_sql
from services.enricher.batch import DeadLetter, Work
from services.enricher.booking import DayClosed, Entry, book
from services.enricher.groups import Claim, book_left_out, claim, note_signs
from services.enricher.letter_limit import NO_LIMIT_PERCENT, LetterLimit
from services.enricher.letters import LetterKey, bury, take, undecodable
from services.enricher.notes import Notes
from services.enricher.numbers import Numbered, Numbers
from services.enricher.rows import HitRows, StoredAlready
from services.hit import Hit

Answer = TypeVar("Answer")
# The key of an import, and a day beyond the retention that it has opened.
Opened = tuple[str, datetime.date]
HOLD_OPENED = load_sql(Path(__file__).with_name("sql") / "hold_opened.sql")
# Of a batch of which another enricher stores some hits at the same moment.
TRIES = 5


class Written(NamedTuple):
    """What a committed batch did."""

    stored: int
    duplicate: int
    dead_lettered: int
    redelivered_groups: int


class Store:
    """One connection's writing side."""

    def __init__(self, connection: Connection, limit: LetterLimit | None = None) -> None:
        self.notes = Notes(connection)
        self._connection = connection
        self._limit = limit or LetterLimit(NO_LIMIT_PERCENT)
        self._numbers = Numbers(connection)
        self._rows = HitRows(connection)
        self._days: set[datetime.date] = set()

    def write(self, works: list[Work]) -> Written:
        """Store a batch and commit. Raises ``psycopg.Error``, ``TooManyLetters``; nothing is stored then."""
        hits = [hit for work in works for hit in work.hits]
        written = self._in_transaction(hits, lambda numbers: self._write(works, numbers), _opened(works))
        self._limit.committed()
        return written

    def opened_days(self, one_off_key: str) -> frozenset[str]:
        """The days beyond the retention that the import under a key has opened. Raises ``psycopg.Error``."""
        with self._connection.transaction():
            return frozenset(day.isoformat() for _, day in self._held([one_off_key]))

    def probe(self, hits: list[Hit]) -> None:
        """Try whether PostgreSQL takes these rows, without keeping them. Raises ``psycopg.Error``."""
        self._in_transaction(hits, lambda numbers: self._put(hits, numbers, 0), keep=False)

    def bring_back(self, letters: list[tuple[LetterKey, Hit]]) -> Written:
        """Store the hits of dead letters and take these letters away, in one transaction.

        A letter that is gone meanwhile, or emptied, is passed over. Raises ``psycopg.Error``; nothing is done then.
        """
        by_key = dict(letters)
        return self._in_transaction(list(by_key.values()), lambda numbers: self._bring_back(by_key, numbers))

    def _in_transaction(
        self,
        hits: list[Hit],
        work: Callable[[dict[int, Numbered]], Answer],
        opened: frozenset[Opened] = frozenset(),
        *,
        keep: bool = True,
    ) -> Answer:
        """Do the work once its days are open, and the numbers of its hits, by ``id(hit)``, committed: see numbers.py.

        Again where hits turn out to be stored already. Raises what the work raises.
        """
        self._open_days(hits, opened)
        numbered = self._numbers.of([msgspec.structs.astuple(hit) for hit in hits])
        numbers = dict(zip(map(id, hits), numbered, strict=True))
        tries = TRIES
        while True:
            try:
                with self._connection.transaction(force_rollback=not keep):
                    self._hold(opened)
                    return work(numbers)
            except StoredAlready:
                tries -= 1
                if not tries:
                    raise
            except (psycopg.IntegrityError, DayClosed):
                self._forget()
                raise

    def _forget(self) -> None:
        """Upkeep has closed or dropped a day meanwhile: the next try opens it again.

        With a dropped day it may have forgotten numbers that only this day's hits had.
        """
        self._days.clear()
        self._numbers = Numbers(self._connection)

    def _open_days(self, hits: list[Hit], opened: frozenset[Opened]) -> None:
        """Partitions and indexes of days not seen before; the rollup makes them ahead, so this finds them made."""
        days = {hit.day for hit in hits} - self._days
        for day in sorted(days):
            with self._connection.transaction():
                self._hold({(key, held) for key, held in opened if held == day})
                self._connection.execute("select open_hits_day(%s)", [day])
        self._days |= days

    def _hold(self, opened: Iterable[Opened]) -> None:
        """Keep days that imports opened from being sealed until the transaction ends. Raises ``DayClosed``."""
        wanted = set(opened)
        if wanted and not wanted <= self._held(sorted({key for key, _ in wanted})):
            self._forget()
            raise DayClosed("upkeep sealed a day of an import meanwhile: try again")

    def _held(self, keys: list[str]) -> set[Opened]:
        rows = self._connection.execute(HOLD_OPENED, {"keys": keys}).fetchall()
        return {(key, day) for key, days in rows for day in days}

    def _put(self, hits: list[Hit], numbers: dict[int, Numbered], batch_id: int) -> list[Hit]:
        return self._rows.put(hits, [numbers[id(hit)] for hit in hits], batch_id)

    def _write(self, works: list[Work], numbers: dict[int, Numbered]) -> Written:
        taken = claim(self._connection, works)
        hits = [hit for work in taken.works for hit in work.hits]
        letters = [letter for work in taken.works for letter in work.dead_letters]
        letters += undecodable(self._connection, works)
        self._limit.check(letters, len(hits))  # here, where only what was not buried before is left
        stored = self._put(hits, numbers, taken.batch_id)
        bury(self._connection, letters)
        # From here on rows are locked that another enricher may want too.
        book_left_out(self._connection, taken.works)
        note_signs(self._connection, works)
        if hits or letters:
            self._book(taken, letters, stored)
        return Written(
            stored=len(stored),
            duplicate=len(hits) - len(stored),
            dead_lettered=sum(letter.hits for letter in letters),
            redelivered_groups=sum(1 for work in works if work.group) - len(taken.works),
        )

    def _book(self, taken: Claim, letters: list[DeadLetter], stored: list[Hit]) -> None:
        accepted = [
            Entry(part.site, datetime.date.fromisoformat(part.day), part.hits, 0)
            for work in taken.works
            if work.group
            for part in work.group.accepted
        ]
        # An entry without a group was accepted by nobody who could tell: it stands for one hit.
        dead = [Entry(lt.site, lt.day, 0 if lt.site else lt.hits, lt.hits) for lt in letters]
        # Hits of the past are not late: nobody waited for them.
        past = {id(hit) for work in taken.works if work.group and work.group.one_off_key for hit in work.hits}
        measured = [hit for hit in stored if id(hit) not in past]
        book(self._connection, taken.batch_id, accepted + dead, stored, measured)

    def _bring_back(self, letters: dict[LetterKey, Hit], numbers: dict[int, Numbered]) -> Written:
        taken = take(self._connection, list(letters))
        [(batch_id,)] = self._connection.execute("select nextval('hits_batch_id_seq')::int").fetchall()
        stored = self._put([letters[key] for key in taken], numbers, batch_id)
        book(self._connection, batch_id, [Entry(key.site, key.day, 0, -1) for key in taken], stored, stored)
        return Written(len(stored), len(taken) - len(stored), -len(taken), 0)


def _opened(works: list[Work]) -> frozenset[Opened]:
    return frozenset(
        (work.group.one_off_key, datetime.date.fromisoformat(day))
        for work in works
        if work.group and work.group.one_off_key
        for day in work.opened_days
    )


def is_bad_row(error: psycopg.Error) -> bool:
    """Whether PostgreSQL refused a value, not the work: such a hit is buried, anything else is tried again."""
    return isinstance(error, psycopg.DataError | psycopg.IntegrityError)
