"""Forgets the texts that only hits had which are no longer kept: titles, origins (queries, campaigns), clients, and
the pages and referrers that no rollup names.

Exact, whatever is stored meanwhile. A row's ``used_on`` is not before the day of any hit that has it, nor before the
newest day that an enricher has seen which remembers its number (``services.enricher.numbers``). So a row from before
all kept days belongs to no hit, and nobody can name it but an enricher whose hits are older than all kept days. Such
an enricher opens its hits' days before it numbers them, and opening a day takes the lock that each batch here holds:
either its day is seen here as the oldest one kept, or its numbers are looked up after the batch.

Rollups name pages, referrers and titles of hits: what no rollup names, and no hit has, none will name. Posts name
their pages, which may have no hit yet.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import LiteralString, NamedTuple

from services.database import Connection
from services.rollup.sessions import TABLES as SESSION_TABLES
from services.rollups import ROLLUPS

# Rows in a transaction: 0.1 s, for which whoever opens a day waits.
BATCH = 10_000
# Rows that are looked for at once: each look reads the rollups' keys from beginning to end.
LOOK_ROWS = 200_000


class Numbered(NamedTuple):
    """A table of rows that hits name by number, and the tables besides hits that name them too."""

    name: LiteralString
    number: LiteralString
    named_by: tuple[LiteralString, ...]


def _rollups_by(dimension: LiteralString) -> tuple[LiteralString, ...]:
    return tuple(f"rollup_{rollup.name}" for rollup in ROLLUPS if dimension in rollup.dimensions)


# Origins first, as they name referrers. Sites stay.
NUMBERED = (
    Numbered("origins", "origin_id", ()),
    Numbered("clients", "client_id", ()),
    Numbered("titles", "title_id", ("rollup_titles",)),
    Numbered("referrers", "referrer_id", ("origins", *_rollups_by("referrer_id"))),
    Numbered(
        "pages",
        "page_id",
        (
            "posts",
            "rollup_titles",
            *_rollups_by("page_id"),
            *(table.name for table in SESSION_TABLES if "page_id" in table.dimensions),
        ),
    ),
)


def look_statement(table: Numbered) -> LiteralString:
    """The numbers that nothing names and no hit can have. Parameters: ``first_day``, ``rows``."""
    unnamed: LiteralString = " ".join(
        f"and not exists (select from {name} n where n.{table.number} = t.{table.number})"
        for name in table.named_by
    )
    return f"""-- rollup: unused {table.name}
select array(
    select t.{table.number} from {table.name} t where t.used_on < %(first_day)s {unnamed} limit %(rows)s
)
"""


def forget_statement(table: Numbered) -> LiteralString:
    """Delete those of some numbers that are unused still. Parameters: ``numbers``, ``first_day``.

    A row that an enricher marks as used right then is passed over, without waiting: the two never wait for one
    another in turns.
    """
    return f"""-- rollup: forget {table.name}
with unused as (
    select {table.number} from {table.name}
    where {table.number} = any(%(numbers)s) and used_on < %(first_day)s
    for update skip locked
)
delete from {table.name} t using unused u where t.{table.number} = u.{table.number}
"""


# The oldest kept day, with no day older than that being opened until the transaction ends.
HOLD_DAYS = "select pg_advisory_xact_lock(hashtext('footfall make_hits_partition'))"
FIRST_DAY = """-- rollup: first_day
select least(%(first_kept)s::date, min(to_date(substr(c.relname, 2), 'YYYYMMDD')))
from pg_inherits p join pg_class c on c.oid = p.inhrelid
where p.inhparent = 'stored_hits'::regclass
"""


def forget_unused(connection: Connection, first_kept: datetime.date) -> dict[str, int]:
    """Delete what no kept hit and no rollup has, in batches; how many rows of each table.

    ``first_kept``: no hit of an earlier day is stored any more. Raises ``psycopg.Error``.
    """
    forgotten = dict.fromkeys((table.name for table in NUMBERED), 0)
    for table in NUMBERED:
        for numbers in _unused(connection, table, first_kept):
            forgotten[table.name] += _forget(connection, table, numbers, first_kept)
    return forgotten


def _unused(connection: Connection, table: Numbered, first_kept: datetime.date) -> Iterator[list[int]]:
    """Batches of numbers, until there are no more than one look shows; rows in use right then come again later."""
    while True:
        with connection.transaction():
            first_day = connection.execute(FIRST_DAY, {"first_kept": first_kept}).fetchall()[0][0]
            parameters = {"first_day": first_day, "rows": LOOK_ROWS}
            found: list[int] = connection.execute(look_statement(table), parameters).fetchall()[0][0]
        for start in range(0, len(found), BATCH):
            yield found[start : start + BATCH]
        if len(found) < LOOK_ROWS:
            return


def _forget(connection: Connection, table: Numbered, numbers: list[int], first_kept: datetime.date) -> int:
    with connection.transaction():
        # Each statement sees what was committed before it, in particular the days that were opened.
        connection.execute("set transaction isolation level read committed")
        connection.execute(HOLD_DAYS)
        first_day = connection.execute(FIRST_DAY, {"first_kept": first_kept}).fetchall()[0][0]
        return connection.execute(
            forget_statement(table), {"numbers": numbers, "first_day": first_day}
        ).rowcount
