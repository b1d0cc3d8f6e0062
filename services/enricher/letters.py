"""Dead letters in and out of their table, within the transaction of a batch."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path
from typing import NamedTuple

import msgspec
from psycopg.types.json import Jsonb

from services.database import Connection, load_sql
from services.enricher.batch import DeadLetter, Work

_SQL = Path(__file__).with_name("sql")
BURY = load_sql(_SQL / "bury.sql")
TAKE_LETTERS = load_sql(_SQL / "take_letters.sql")


class LetterKey(NamedTuple):
    """Identity of a dead letter."""

    site: str
    day: datetime.date
    dead_letter_id: uuid.UUID


def undecodable(connection: Connection, works: list[Work]) -> list[DeadLetter]:
    """The letters of entries without a group's identity that are not buried yet."""
    letters = [letter for work in works if work.group is None for letter in work.dead_letters]
    if not letters:
        return []
    known = connection.execute(
        "select dead_letter_id from dead_letters where site = '' and dead_letter_id = any(%s)",
        [[letter.dead_letter_id for letter in letters]],
    ).fetchall()
    buried = {row[0] for row in known}
    return [letter for letter in letters if letter.dead_letter_id not in buried]


def bury(connection: Connection, letters: list[DeadLetter]) -> None:
    """Write letters down."""
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
    with connection.cursor() as cursor:
        cursor.executemany(BURY, rows)


def take(connection: Connection, keys: list[LetterKey]) -> list[LetterKey]:
    """Take letters away; those that were there still."""
    sites, days, ids = (list(column) for column in zip(*keys, strict=True))
    rows = connection.execute(TAKE_LETTERS, {"sites": sites, "days": days, "ids": ids}).fetchall()
    return [LetterKey(*row) for row in rows]
