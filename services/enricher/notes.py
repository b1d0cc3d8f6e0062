"""What the enricher writes down beside its batches: tries, that it has stopped, what waits on the stream."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path

from services.database import Connection, load_sql
from services.enricher.letter_limit import TooManyLetters
from services.hit_stream import StreamLook

_SQL = Path(__file__).with_name("sql")
NOTE_LOOK = load_sql(_SQL / "note_look.sql")
NOTE_PENDING = load_sql(_SQL / "note_pending.sql")


class Notes:
    """Each note is a transaction of its own."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

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
            (part.site, datetime.date.fromisoformat(part.day), uuid.UUID(bytes=group.pixel_id), group.seq, part.hits)
            for group in look.groups
            for part in group.accepted
        ]  # fmt: skip
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
