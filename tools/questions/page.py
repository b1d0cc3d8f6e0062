"""docs/sql.md: finds its questions, asks them as the role `analyst`, and writes what was answered under each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

PAGE = Path(__file__).resolve().parents[2] / "docs/sql.md"
MOST_ROWS = 12  # under a question; each query has a limit of its own
_QUESTION = re.compile(
    r"^## (?P<number>\d+)\. (?P<title>[^\n]+)\n(?P<text>.*?)"
    r"^```sql\n(?P<query>.*?)^```\n(?P<before>\s*<!-- result -->\n)(?P<result>.*?)(?P<after><!-- end -->)",
    re.MULTILINE | re.DOTALL,
)


class Question(NamedTuple):
    """A question of the page; ``text`` is what stands between its title and its query."""

    number: int
    title: str
    text: str
    query: str
    result: str


def questions(page: str) -> list[Question]:
    """In the order of the page."""
    return [
        Question(int(m["number"]), m["title"], m["text"].strip(), m["query"], m["result"])
        for m in _QUESTION.finditer(page)
    ]


def ask(connection: psycopg.Connection[Any], query: str) -> str:
    """The answer as a table in Markdown. Raises ``psycopg.Error``."""
    with connection.cursor() as cursor:
        cursor.execute(query.encode())
        names = [column.name for column in cursor.description or ()]
        return table(names, cursor.fetchmany(MOST_ROWS))


def table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Lines, each with its line feed. NULL is an empty cell."""
    found = [[_cell(value) for value in row] for row in rows]
    lines = [names, ["---"] * len(names), *found]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    return "" if value is None else str(value).replace("|", "\\|")


def filled(page: str, connection: psycopg.Connection[Any]) -> str:
    """The page with its results as they are. Raises ``psycopg.Error``."""

    def answered(match: re.Match[str]) -> str:
        whole, start = match[0], match.start()
        begin, end = match.start("result") - start, match.end("result") - start
        return whole[:begin] + ask(connection, match["query"]) + whole[end:]

    return _QUESTION.sub(answered, page)
