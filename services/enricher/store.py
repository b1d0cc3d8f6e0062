"""Writes a batch to PostgreSQL in one transaction: hits, ledger, dead letters, word for the rollups.

Exactly once: a group is taken by its number (``stream_groups``), a hit by site, day and id (``hits_identity``).
Entries are acknowledged only after the commit, so that a killed enricher's batch comes again and changes nothing.
"""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path
from typing import NamedTuple

import msgspec
import psycopg
from psycopg.types.json import Jsonb

from services.database import Connection, load_sql
from services.enricher.batch import DeadLetter, Work
from services.enricher.letter_limit import NO_LIMIT_PERCENT, LetterLimit, TooManyLetters
from services.enricher.numbers import Numbers, Row
from services.hit import PAGEVIEW, Hit
from services.hit_stream import StreamLook

_SQL = Path(__file__).with_name("sql")
CLAIM_GROUPS = load_sql(_SQL / "claim_groups.sql")
MAKE_STAGING = load_sql(_SQL / "make_staging.sql")
COPY_STAGING = load_sql(_SQL / "copy_staging.sql")
INSERT_HITS = load_sql(_SQL / "insert_hits.sql")
BOOK_LEFT_OUT = load_sql(_SQL / "book_left_out.sql")
TAKE_LETTERS = load_sql(_SQL / "take_letters.sql")
NOTE_LOOK = load_sql(_SQL / "note_look.sql")
NOTE_PENDING = load_sql(_SQL / "note_pending.sql")
NOTE_SIGNS = load_sql(_SQL / "note_signs.sql")
BURY = load_sql(_SQL / "bury.sql")

# Types of the columns that are copied, in order, for the binary COPY.
_COPY_TYPES = (
    "bytea", "bytea", "int8", "date", "int4", "int4", "int4", "int4", "int4", "int2", "bool", "bool", "text",
    "jsonb",
)  # fmt: skip
# From Unix time to PostgreSQL's, in microseconds.
_FIRST_MOMENT_US = 946_684_800_000_000
# Places of a hit's fields that are copied as they are, or nearly.
_STATUS, _IS_BOT, _IS_ME, _EVENT, _PROPS = map(
    Hit.__struct_fields__.index, ("status", "is_bot", "is_me", "event", "props")
)


class Written(NamedTuple):
    """What a committed batch did."""

    stored: int
    duplicate: int
    dead_lettered: int
    redelivered_groups: int


class LetterKey(NamedTuple):
    """Identity of a dead letter."""

    site: str
    day: datetime.date
    dead_letter_id: uuid.UUID


class DayClosed(psycopg.OperationalError):
    """The batch is to be tried again, and will open the day."""


class Store:
    """One connection's writing side."""

    def __init__(self, connection: Connection, limit: LetterLimit | None = None) -> None:
        self._connection = connection
        self._limit = limit or LetterLimit(NO_LIMIT_PERCENT)
        self._numbers = Numbers(connection)
        self._days: set[datetime.date] = set()
        with connection.transaction():
            connection.execute("set local client_min_messages = warning")
            connection.execute(MAKE_STAGING)

    def write(self, works: list[Work]) -> Written:
        """Store a batch and commit. Raises ``psycopg.Error``, ``TooManyLetters``; nothing is stored then."""
        hits = [hit for work in works for hit in work.hits]
        self._open_days(hits)
        # Committed before the hits are: see numbers.py.
        rows = dict(zip(map(id, hits), self._rows(hits), strict=True))
        try:
            with self._connection.transaction():
                written = self._write(works, rows)
        except (psycopg.IntegrityError, DayClosed):
            self._forget()
            raise
        self._limit.committed()
        return written

    def _forget(self) -> None:
        """Upkeep has closed or dropped a day meanwhile: the next try opens it again.

        With a dropped day it may have forgotten numbers that only this day's hits had.
        """
        self._days.clear()
        self._numbers = Numbers(self._connection)

    def probe(self, hits: list[Hit]) -> None:
        """Try whether PostgreSQL takes these rows, without keeping them. Raises ``psycopg.Error``."""
        rows = self._rows(hits)
        with self._connection.transaction(force_rollback=True):
            self._copy(rows)
            self._book([])

    def bring_back(self, letters: list[tuple[LetterKey, Hit]]) -> Written:
        """Store the hits of dead letters and take these letters away, in one transaction.

        A letter that is gone meanwhile, or emptied, is passed over. Raises ``psycopg.Error``; nothing is done then.
        """
        hits = [hit for _, hit in letters]
        self._open_days(hits)
        rows = dict(zip((key for key, _ in letters), self._rows(hits), strict=True))
        sites, days, ids = (list(column) for column in zip(*rows, strict=True))
        try:
            with self._connection.transaction():
                keys = {"sites": sites, "days": days, "ids": ids}
                taken = [LetterKey(*key) for key in self._connection.execute(TAKE_LETTERS, keys).fetchall()]
                self._copy([rows[key] for key in taken])
                stored = self._book([(key.site, key.day, 0, -1) for key in taken])
                self._refuse_closed_days(hits)
        except (psycopg.IntegrityError, DayClosed):
            self._forget()
            raise
        return Written(stored, len(taken) - stored, -len(taken), 0)

    def count_attempt(self, entry_id: str) -> int:
        """Note, durably, that an entry is about to be tried alone; how often that was."""
        with self._connection.transaction():
            row = self._connection.execute(
                "insert into lone_attempts as l (site, entry_id, attempts) values ('', %s, 1)"
                " on conflict (site, entry_id) do update set attempts = l.attempts + 1 returning attempts",
                [entry_id],
            ).fetchone()
        return int(row[0]) if row else 1

    def forget_attempts(self, entry_id: str) -> None:
        """The entry is done with."""
        with self._connection.transaction():
            self._connection.execute(
                "delete from lone_attempts where site = '' and entry_id = %s", [entry_id]
            )

    def note_stop(self, consumer: str, error: TooManyLetters) -> None:
        """Let the alert see that this enricher stores nothing, and since when."""
        with self._connection.transaction():
            self._connection.execute(
                "insert into enricher_stops (consumer, letters, hits, reasons) values (%s, %s, %s, %s)"
                " on conflict (consumer) do update set tried_at = clock_timestamp(), letters = excluded.letters,"
                " hits = excluded.hits, reasons = excluded.reasons",
                [consumer, error.letters, error.hits, ", ".join(sorted(error.reasons))],
            )

    def forget_stop(self, consumer: str) -> None:
        """It stores again."""
        with self._connection.transaction():
            self._connection.execute("delete from enricher_stops where consumer = %s", [consumer])

    def note_stream(self, look: StreamLook) -> None:
        """Let the view daily_ledger see what waits."""
        rows = [
            (
                part.site,
                datetime.date.fromisoformat(part.day),
                uuid.UUID(bytes=group.pixel_id),
                group.seq,
                part.hits,
            )
            for group in look.groups
            for part in group.accepted
        ]
        with self._connection.transaction():
            self._connection.execute(
                NOTE_LOOK,
                {"entries": look.entries, "entries_read": look.entries_read, "oldest_s": look.oldest_s},
            )
            self._connection.execute("delete from pending_groups")
            if rows:
                sites, days, pixels, seqs, hits = (list(column) for column in zip(*rows, strict=True))
                self._connection.execute(
                    NOTE_PENDING,
                    {"sites": sites, "days": days, "pixels": pixels, "seqs": seqs, "hits": hits},
                )

    def _open_days(self, hits: list[Hit]) -> None:
        """Partitions and indexes of days not seen before; the rollup makes them ahead, so this finds them made."""
        days = {hit.day for hit in hits} - self._days
        for day in sorted(days):
            with self._connection.transaction():
                self._connection.execute("select open_hits_day(%s)", [day])
        self._days |= days

    def _write(self, works: list[Work], rows: dict[int, Row]) -> Written:
        new = self._claim(works)
        hits = [hit for work in new for hit in work.hits]
        letters = [letter for work in new for letter in work.dead_letters]
        letters += self._undecodable(works)
        self._limit.check(letters, len(hits))  # here, where only what was not buried before is left
        self._bury(letters)
        self._book_left_out(new)
        self._note_signs(works)
        if not hits and not letters:
            return Written(0, 0, 0, sum(1 for work in works if work.group) - len(new))
        self._copy([rows[id(hit)] for hit in hits])
        stored = self._insert(new, letters)
        self._refuse_closed_days(hits)
        return Written(
            stored=stored,
            duplicate=len(hits) - stored,
            dead_lettered=sum(letter.hits for letter in letters),
            redelivered_groups=sum(1 for work in works if work.group) - len(new),
        )

    def _claim(self, works: list[Work]) -> list[Work]:
        """The groups that are new, in order; of a group that is in the batch twice the first.

        A group that the batch itself calls abandoned is none, whichever stands first.
        """
        rows: list[tuple[str, uuid.UUID, int, int, int | None, bool]] = []
        first: dict[tuple[uuid.UUID, int], Work] = {}
        given_up = {(w.group.pixel_id, seq) for w in works if w.group for seq in w.group.abandoned}
        for work in works:
            if work.group is None:
                continue
            pixel_id = uuid.UUID(bytes=work.group.pixel_id)
            rows += [("", pixel_id, seq, 0, None, True) for seq in work.group.abandoned]
            if (work.group.pixel_id, work.group.seq) in given_up:
                continue
            first.setdefault((pixel_id, work.group.seq), work)
            by_site: dict[str, int] = {} if work.group.accepted else {"": 0}
            for part in work.group.accepted:
                by_site[part.site] = by_site.get(part.site, 0) + part.hits
            seq, before = work.group.seq, work.group.hits_before
            rows += [(site, pixel_id, seq, number, before, False) for site, number in by_site.items()]
        if not rows:
            return []
        sites, pixels, seqs, numbers, before_all, abandoned = (
            list(column) for column in zip(*rows, strict=True)
        )
        taken = self._connection.execute(
            CLAIM_GROUPS,
            {
                "sites": sites,
                "pixels": pixels,
                "seqs": seqs,
                "hits": numbers,
                "before": before_all,
                "abandoned": abandoned,
            },
        ).fetchall()
        won = {(pixel_id, seq) for pixel_id, seq, was_abandoned in taken if not was_abandoned}
        return [work for key, work in first.items() if key in won]

    def _undecodable(self, works: list[Work]) -> list[DeadLetter]:
        """The letters of entries without a group's identity that are not buried yet."""
        letters = [letter for work in works if work.group is None for letter in work.dead_letters]
        if not letters:
            return []
        known = self._connection.execute(
            "select dead_letter_id from dead_letters where site = '' and dead_letter_id = any(%s)",
            [[letter.dead_letter_id for letter in letters]],
        ).fetchall()
        buried = {row[0] for row in known}
        return [letter for letter in letters if letter.dead_letter_id not in buried]

    def _bury(self, letters: list[DeadLetter]) -> None:
        if not letters:
            return
        rows = [
            {
                "site": letter.site,
                "day": letter.day,
                "dead_letter_id": letter.dead_letter_id,
                "entry_id": letter.entry_id,
                "reason": letter.reason,
                "error": letter.error,
                "hits": letter.hits,
                "size_bytes": letter.size_bytes,
                "hit": Jsonb(msgspec.json.decode(letter.hit)) if letter.hit else None,
            }
            for letter in letters
        ]
        with self._connection.cursor() as cursor:
            cursor.executemany(BURY, rows)

    def _book_left_out(self, works: list[Work]) -> None:
        rows = [part for work in works if work.group for part in work.group.left_out]
        if rows:
            self._connection.execute(
                BOOK_LEFT_OUT,
                {
                    "sites": [row.site for row in rows],
                    "days": [datetime.date.fromisoformat(row.day) for row in rows],
                    "outcomes": [row.outcome for row in rows],
                    "reasons": [row.reason for row in rows],
                    "hits": [row.hits for row in rows],
                },
            )

    def _note_signs(self, works: list[Work]) -> None:
        """Note from when until when pixels ran. A group that came before changes nothing."""
        rows = [(work.group.pixel_id, *work.sign) for work in works if work.group and work.sign]
        if rows:
            pixels, stretches, began, last = (list(column) for column in zip(*rows, strict=True))
            self._connection.execute(
                NOTE_SIGNS,
                {
                    "pixels": [uuid.UUID(bytes=pixel_id) for pixel_id in pixels],
                    "stretches": stretches,
                    "began": began,
                    "last": last,
                },
            )

    def _rows(self, hits: list[Hit]) -> list[Row]:
        """As they are copied."""
        fields = [msgspec.structs.astuple(hit) for hit in hits]
        return [
            (
                *hit[:2], hit[2] - _FIRST_MOMENT_US, hit[3], *numbers, hit[_STATUS] or 0, hit[_IS_BOT], hit[_IS_ME],
                None if hit[_EVENT] == PAGEVIEW else hit[_EVENT],
                None if hit[_PROPS] is None else Jsonb(msgspec.json.decode(hit[_PROPS])),
            )
            for hit, numbers in zip(fields, self._numbers.of(fields), strict=True)
        ]  # fmt: skip

    def _copy(self, rows: list[Row]) -> None:
        if not rows:
            return
        with self._connection.cursor() as cursor, cursor.copy(COPY_STAGING) as copy:
            copy.set_types(_COPY_TYPES)
            for row in rows:
                copy.write_row(row)

    def _refuse_closed_days(self, hits: list[Hit]) -> None:
        """Raises ``DayClosed`` where nothing kept a hit of this transaction from being stored twice.

        Asked after the insert, whose lock keeps upkeep from closing a day until the commit.
        """
        days = sorted({hit.day for hit in hits})
        if not days:
            return
        row = self._connection.execute(
            "select bool_and(hits_day_is_open(day)) from unnest(%s::date[]) as day", [days]
        ).fetchone()
        if not row or not row[0]:
            raise DayClosed("upkeep closed a day while its hits were stored: try again")

    def _insert(self, works: list[Work], letters: list[DeadLetter]) -> int:
        """Book and store; the number of rows that were new."""
        accepted = [
            (part.site, datetime.date.fromisoformat(part.day), part.hits, 0)
            for work in works
            if work.group
            for part in work.group.accepted
        ]
        # An entry without a group was accepted by nobody who could tell: it stands for one hit.
        unknown = [(lt.site, lt.day, lt.hits, lt.hits) for lt in letters if lt.site == ""]
        dead = [(lt.site, lt.day, 0, lt.hits) for lt in letters if lt.site != ""]
        # Hits of the past are not late: nobody waited for them.
        measured = not any(work.group and work.group.one_off_key for work in works)
        return self._book([*accepted, *unknown, *dead], measured=measured)

    def _book(self, rows: list[tuple[str, datetime.date, int, int]], *, measured: bool = True) -> int:
        """Store what was copied, book site, day, accepted and dead-lettered; the number of rows that were new.

        ``measured``: how long the hits took to come is noted too.
        """
        row = self._connection.execute(
            INSERT_HITS,
            {
                "sites": [r[0] for r in rows],
                "days": [r[1] for r in rows],
                "accepted": [r[2] for r in rows],
                "dead_lettered": [r[3] for r in rows],
                "measured": measured,
            },
        ).fetchone()
        return int(row[0]) if row else 0


def is_bad_row(error: psycopg.Error) -> bool:
    """Whether PostgreSQL refused a value, not the work: such a hit is buried, anything else is tried again."""
    return isinstance(error, psycopg.DataError | psycopg.IntegrityError)
