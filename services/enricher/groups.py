"""Takes groups by their numbers, each once, and notes what their clear parts say."""

from __future__ import annotations

import datetime
import uuid
from pathlib import Path
from typing import NamedTuple

from services.database import Connection, load_sql
from services.enricher.batch import Work
from services.hit import Group

_SQL = Path(__file__).with_name("sql")
CLAIM_GROUPS = load_sql(_SQL / "claim_groups.sql")
BOOK_LEFT_OUT = load_sql(_SQL / "book_left_out.sql")
NOTE_SIGNS = load_sql(_SQL / "note_signs.sql")


class Claim(NamedTuple):
    """What is to be stored of a batch, and the number that its hits get."""

    batch_id: int
    works: list[Work]  # of groups that are new, in order; of a group that is in the batch twice the first


_Row = tuple[str, uuid.UUID, int, int, int | None, bool]


def _rows_of(group: Group, pixel_id: uuid.UUID) -> list[_Row]:
    """A group's rows of stream_groups: one a site, or one of no site where it holds no hits."""
    by_site: dict[str, int] = {} if group.accepted else {"": 0}
    for part in group.accepted:
        by_site[part.site] = by_site.get(part.site, 0) + part.hits
    return [(site, pixel_id, group.seq, hits, group.hits_before, False) for site, hits in by_site.items()]


def claim(connection: Connection, works: list[Work]) -> Claim:
    """Take the groups that nobody has taken. A group that the batch itself calls abandoned is none.

    It says so whichever of the two stands first.
    """
    rows: list[_Row] = []
    first: dict[tuple[uuid.UUID, int], Work] = {}
    given_up = {(w.group.pixel_id, seq) for w in works if w.group for seq in w.group.abandoned}
    for work in works:
        if work.group is None:
            continue
        pixel_id = uuid.UUID(bytes=work.group.pixel_id)
        rows += [("", pixel_id, seq, 0, None, True) for seq in work.group.abandoned]
        if (work.group.pixel_id, work.group.seq) not in given_up:
            first.setdefault((pixel_id, work.group.seq), work)
            rows += _rows_of(work.group, pixel_id)
    batch_id, won = _take(connection, rows)
    return Claim(batch_id, [work for key, work in first.items() if key in won])


def _take(connection: Connection, rows: list[_Row]) -> tuple[int, set[tuple[uuid.UUID, int]]]:
    names = ("sites", "pixels", "seqs", "hits", "before", "abandoned")
    columns = zip(*rows, strict=True) if rows else ((),) * len(names)
    lists = {name: list(column) for name, column in zip(names, columns, strict=True)}
    [(batch_id, pixels, seqs)] = connection.execute(CLAIM_GROUPS, lists).fetchall()
    return batch_id, set(zip(pixels, seqs, strict=True))


def book_left_out(connection: Connection, works: list[Work]) -> None:
    """Book what the pixels left out, by reason."""
    rows = [part for work in works if work.group for part in work.group.left_out]
    if rows:
        connection.execute(
            BOOK_LEFT_OUT,
            {
                "sites": [row.site for row in rows],
                "days": [datetime.date.fromisoformat(row.day) for row in rows],
                "outcomes": [row.outcome for row in rows],
                "reasons": [row.reason for row in rows],
                "hits": [row.hits for row in rows],
            },
        )


def note_signs(connection: Connection, works: list[Work]) -> None:
    """Note from when until when pixels ran. A group that came before changes nothing."""
    rows = [(work.group.pixel_id, *work.sign) for work in works if work.group and work.sign]
    if rows:
        pixels, stretches, began, last = (list(column) for column in zip(*rows, strict=True))
        connection.execute(
            NOTE_SIGNS,
            {
                "pixels": [uuid.UUID(bytes=pixel_id) for pixel_id in pixels],
                "stretches": stretches,
                "began": began,
                "last": last,
            },
        )
