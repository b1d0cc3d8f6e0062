"""`make dead-letters`: what was buried, looked at, stored after all, or dropped.

A replayed hit is read by the rules of this version, stands at its own time, and has no session, country, browser,
system and device: the person is not in the letter. So it is a pageview and nobody's visit; a bot stays a bot.
Storing it, taking the letter away and moving it in the ledger is one transaction a batch: a killed run leaves each
letter as it was or done, and is begun again.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg

from services.database import Connection, load_sql
from services.enricher.booking import DayClosed
from services.enricher.enrich import Enricher
from services.enricher.letters import LetterKey
from services.enricher.store import Store, is_bad_row
from services.hit import Hit, RawHit
from services.retention import first_kept_day

_SQL = Path(__file__).with_name("sql")
LIST_LETTERS = load_sql(_SQL / "list_letters.sql")
NEXT_LETTERS = load_sql(_SQL / "next_letters.sql")
DROP_LETTERS = load_sql(_SQL / "drop_letters.sql")

BATCH = 500
EXAMPLES = 3
TRIES = 5  # of a batch whose day upkeep closes at the same moment
FIRST = LetterKey("", datetime.date.min, uuid.UUID(int=0))


class Heap(NamedTuple):
    """The letters of one reason, day and site."""

    reason: str
    day: datetime.date
    site: str  # empty: none could be told
    hits: int
    replayable: int  # hits of letters that hold theirs
    newest_at: datetime.datetime
    examples: list[dict[str, Any]] | None  # of the newest: id, error, url, title


class Which(NamedTuple):
    """Letters by reason or by id; neither: all."""

    reason: str | None = None
    id: uuid.UUID | None = None


class Replayed(NamedTuple):
    """What became of a batch of letters."""

    stored: int
    duplicate: int
    failed: int  # again: the letters stay
    too_late: int  # of days whose hits are no longer kept: the letters stay, nothing can be done


def heaps(connection: Connection) -> list[Heap]:
    """What was buried and not dropped, the newest day first."""
    with connection.transaction():
        return [Heap(*row) for row in connection.execute(LIST_LETTERS, {"examples": EXAMPLES}).fetchall()]


def drop(connection: Connection, which: Which) -> int:
    """Empty letters, for good; how many hits they stand for. Their number stays, for the ledger."""
    with connection.transaction():
        return sum(hits for (hits,) in connection.execute(DROP_LETTERS, which._asdict()).fetchall())


def raw_hit_of(letter: dict[str, Any]) -> RawHit:
    """The hit of a letter, of nobody. Raises ``KeyError``, ``ValueError`` where it is no such hit."""
    values = letter | {
        "hit_id": uuid.UUID(letter["hit_id"]).bytes,
        "address": "",
        "user_agent": "",
        "anonymous": True,
        "given": None,
    }
    return msgspec.convert([values[name] for name in RawHit.__struct_fields__], RawHit)


def hit_of(letter: dict[str, Any], enricher: Enricher, now: datetime.datetime) -> Hit:
    """The row of a letter. Raises what ``raw_hit_of`` and ``enrich`` do."""
    bot = letter.get("bot") or {}
    return msgspec.structs.replace(
        enricher.enrich(raw_hit_of(letter), now),
        country=None,
        session_id=None,
        is_bot=bool(bot),
        bot_name=bot.get("name"),
        bot_class=bot.get("bot_class"),
        subscribers=None,
        browser=None,
        os=None,
        device=None,
    )


class Replay:
    """Stores letters after all; for one run."""

    def __init__(
        self, connection: Connection, enricher: Enricher, retention_days: int, today: datetime.date
    ) -> None:
        self._connection = connection
        self._store = Store(connection)
        self._enricher = enricher
        self._first_kept = first_kept_day(today, retention_days)

    def run(self, which: Which, batch: int = BATCH) -> Iterator[Replayed]:
        """Each step is committed when it is yielded. Raises ``psycopg.Error``."""
        last = FIRST
        while letters := self._next(which, last, batch):
            last = letters[-1][0]
            yield self._replay(letters)

    def _next(self, which: Which, last: LetterKey, batch: int) -> list[tuple[LetterKey, dict[str, Any]]]:
        about = {**which._asdict(), **last._asdict(), "letters": batch}
        with self._connection.transaction():
            rows = self._connection.execute(NEXT_LETTERS, about).fetchall()
        return [(LetterKey(*key), hit) for *key, hit in rows]

    def _replay(self, letters: list[tuple[LetterKey, dict[str, Any]]]) -> Replayed:
        kept = [(key, letter) for key, letter in letters if key.day >= self._first_kept]
        read = [(key, hit) for key, letter in kept if (hit := self._read(key, letter))]
        stored, duplicate, refused = self._bring_back(read)
        return Replayed(stored, duplicate, len(kept) - len(read) + refused, len(letters) - len(kept))

    def _read(self, key: LetterKey, letter: dict[str, Any]) -> Hit | None:
        """The hit by this version's rules; None where it fails again."""
        try:
            hit = hit_of(letter, self._enricher, datetime.datetime.now(datetime.UTC))
        except Exception:  # whatever it does to the look-ups: it is a dead letter still
            return None
        return hit if (hit.site, hit.day) == (key.site, key.day) else None

    def _bring_back(self, hits: list[tuple[LetterKey, Hit]], tries: int = TRIES) -> tuple[int, int, int]:
        """How many were stored, were there already, were refused; in halves, until what is refused is alone."""
        if not hits:
            return 0, 0, 0
        try:
            stored, duplicate, *_ = self._store.bring_back(hits)
        except DayClosed:
            if tries == 1:
                raise
            return self._bring_back(hits, tries - 1)
        except psycopg.Error as error:
            if not is_bad_row(error):
                raise
            if len(hits) == 1:
                return 0, 0, 1
            middle = len(hits) // 2
            first, second = self._bring_back(hits[:middle]), self._bring_back(hits[middle:])
            return first[0] + second[0], first[1] + second[1], first[2] + second[2]
        return stored, duplicate, 0
