"""What an audit finds: a line that says what is wrong, some examples, and what to do."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString, NamedTuple

import psycopg

SHOWN_ROWS = 5
Connection = psycopg.Connection[Any]


class Finding(NamedTuple):
    """One thing that is wrong."""

    title: str
    rows: int
    examples: Sequence[str]  # the first ``SHOWN_ROWS``
    what_to_do: str = ""

    def lines(self) -> Iterator[str]:
        """For the person at the terminal."""
        yield f"{self.title}: {self.rows}"
        for example in self.examples:
            yield f"    {example}"
        if self.rows > len(self.examples):
            yield f"    … and {self.rows - len(self.examples)} more"
        if self.what_to_do:
            yield f"    → {self.what_to_do}"


@dataclass
class Gathered:
    """Rows of one kind, found day by day: how many, the first of them, and on which days."""

    rows: int = 0
    examples: list[str] = field(default_factory=list)
    days: set[datetime.date] = field(default_factory=set)

    def add(self, day: datetime.date, rows: int, examples: Iterable[str]) -> None:
        """More of them."""
        if rows:
            self.rows += rows
            self.days.add(day)
            for example in examples:
                if len(self.examples) < SHOWN_ROWS:
                    self.examples.append(example)

    @property
    def rebuild(self) -> str:
        """The command that puts these days right."""
        return f"make rebuild FROM={min(self.days)} TO={max(self.days)}"


def text_of(row: Iterable[Any]) -> str:
    """A row for a person."""
    return " | ".join("∅" if value is None else str(value) for value in row)


def first_rows(
    connection: Connection, statement: LiteralString, parameters: dict[str, Any] | None = None
) -> tuple[int, list[tuple[Any, ...]]]:
    """How many rows a question has, and the first of them: what is wrong may be millions of rows."""
    rows = connection.execute(
        f"select *, count(*) over () from ({statement}) as found limit {SHOWN_ROWS}", parameters
    ).fetchall()
    return (rows[0][-1], [row[:-1] for row in rows]) if rows else (0, [])


def finding(
    connection: Connection,
    title: str,
    statement: LiteralString,
    parameters: dict[str, Any] | None = None,
    what_to_do: str = "",
) -> Iterator[Finding]:
    """The finding of a question that has no rows where all is well."""
    rows, examples = first_rows(connection, statement, parameters)
    if rows:
        yield Finding(title, rows, [text_of(row) for row in examples], what_to_do)
