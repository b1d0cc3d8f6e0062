"""Reads views as streams of rows: COPY, in one snapshot, a day of `hits` after the other.

Nothing is held but the row in hand: what the server sorts beyond its work_mem goes to its disk.
"""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

import psycopg
from psycopg import sql

from tools.arguments import BadRequest
from tools.export.relations import Column, Connection, Relation, relations
from tools.export.request import ALL, Request

# Under UTC: an ISO 8601 time with its offset, which every reader takes.
_MOMENT = sql.SQL("""to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.USTZH:TZM')""")
Expression = Callable[[Column], sql.Composable]


class Part(NamedTuple):
    """Some days of a view, both included; None: open."""

    first: datetime.date | None
    last: datetime.date | None


@contextlib.contextmanager
def snapshot(url: str) -> Iterator[Connection]:
    """A connection on which everything is read as it was at one moment. Raises ``psycopg.Error``.

    An export may last longer than the role's statement timeout, which is there for questions.
    """
    # Closed and no more: nothing is to be committed, and in the middle of a COPY nothing can be rolled back.
    with contextlib.closing(
        psycopg.connect(url, connect_timeout=5, application_name="footfall export")
    ) as connection:
        connection.execute("set transaction isolation level repeatable read, read only")
        connection.execute(
            "select set_config('statement_timeout', '0', true), set_config('timezone', 'UTC', true),"
            " set_config('datestyle', 'ISO', true)"
        )
        yield connection


def chosen(connection: Connection, request: Request) -> list[Relation]:
    """The views that are asked for. Raises ``BadRequest``, ``psycopg.Error``."""
    known = relations(connection)
    if not known:
        raise BadRequest("DATABASE_URL: there are no views of Footfall; is it that database, and migrated?")
    if request.view != ALL and request.view not in known:
        raise BadRequest(f"VIEW: there is no {request.view!r}; there are {', '.join(known)} and {ALL}")
    if (
        request.site
        and not connection.execute("select 1 from sites where site = %s", [request.site]).fetchone()
    ):
        some = [name for (name,) in connection.execute("select site from sites order by site limit 10")]
        raise BadRequest(f"SITE: there is none of that name; some are: {', '.join(some) or '(none yet)'}")
    return list(known.values()) if request.view == ALL else [known[request.view]]


def parts_of(connection: Connection, relation: Relation, request: Request) -> list[Part]:
    """The pieces that a view is read in: each has rows of its own, and all are in the order of days."""
    if relation.name != "hits":
        return [Part(request.first, request.last)]
    days = connection.execute(
        "select day from days where day >= coalesce(%s, day) and day <= coalesce(%s, day) order by day",
        [request.first, request.last],
    )
    return [Part(day, day) for (day,) in days.fetchall()]


def moments(column: Column) -> sql.Composable:
    """The column as it is, a time as ISO 8601 with its offset."""
    name = sql.Identifier(column.name)
    return _MOMENT.format(name) if column.type == "timestamp with time zone" else name


def question(relation: Relation, part: Part, site: str | None, expression: Expression) -> sql.Composed:
    """Asks for the rows of a part, always in the same order."""
    names = [column.name for column in relation.columns]
    order = ["received_at", "hit_id"] if relation.name == "hits" else ["day", *names]
    conditions: list[sql.Composable] = [sql.SQL("true")]
    for name, sign, value in (("day", ">=", part.first), ("day", "<=", part.last), ("site", "=", site)):
        if value is not None:
            conditions.append(
                sql.SQL("{} {} {}").format(sql.Identifier(name), sql.SQL(sign), sql.Literal(value))
            )
    return sql.SQL("select {} from {} where {} order by {}").format(
        sql.SQL(", ").join(map(expression, relation.columns)),
        sql.Identifier(relation.name),
        sql.SQL(" and ").join(conditions),
        sql.SQL(", ").join(sql.Identifier(relation.name, name) for name in dict.fromkeys(order)),
    )


def lines(connection: Connection, asked: sql.Composed) -> Generator[bytes]:
    """The rows as lines of CSV, each with its line feed: NULL is nothing, an empty text is ``""``."""
    command = sql.SQL("copy ({}) to stdout (format csv)").format(asked)
    with connection.cursor() as cursor, cursor.copy(command) as copy:
        for line in copy:
            yield bytes(line)


def tuples(connection: Connection, asked: sql.Composed) -> Generator[tuple[str | None, ...]]:
    """The rows as texts; None: NULL."""
    with connection.cursor() as cursor, cursor.copy(sql.SQL("copy ({}) to stdout").format(asked)) as copy:
        yield from copy.rows()
