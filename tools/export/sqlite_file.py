"""SQLite: a table for each view in one file, and the meaning of each table and column in the table `about`."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from psycopg import sql

from tools.export.reading import moments
from tools.export.relations import Column, Relation

# SQLite turns the texts that it is given into these; a boolean is 0 or 1, all else stays text.
TYPES = dict.fromkeys(("bigint", "boolean", "integer", "numeric", "smallint"), "integer")
ABOUT = "create table if not exists about (table_name text, column_name text, meaning text)"


def numbers(column: Column) -> sql.Composable:
    """The column as SQLite is to get it."""
    if column.type == "boolean":
        return sql.SQL("{}::int").format(sql.Identifier(column.name))
    return moments(column)


def write(path: Path, relation: Relation, rows: Iterator[tuple[str | None, ...]]) -> None:
    """Add a table to the file. Raises ``sqlite3.Error``."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        # The file is thrown away unless it comes out whole: nothing is to be undone in it.
        connection.execute("pragma journal_mode = off")
        connection.execute("pragma synchronous = off")
        connection.execute("begin")
        columns = ", ".join(f"{column.name} {TYPES.get(column.type, 'text')}" for column in relation.columns)
        connection.execute(f"create table {relation.name} ({columns})")
        marks = ", ".join("?" * len(relation.columns))
        # The name is one of the database's own; a value is never part of a statement.
        connection.executemany(f"insert into {relation.name} values ({marks})", rows)  # noqa: S608
        connection.execute(f"create index {relation.name}_day on {relation.name} (day)")
        connection.execute(ABOUT)
        connection.executemany("insert into about values (?, ?, ?)", _meanings(relation))
        connection.execute("commit")


def _meanings(relation: Relation) -> Iterator[tuple[str, str | None, str]]:
    yield relation.name, None, relation.meaning
    for column in relation.columns:
        yield relation.name, column.name, column.meaning
