"""Parquet, written by DuckDB from the stream of CSV: a row group at a time, each column with its own type."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from tools.arguments import BadRequest
from tools.export.relations import Relation

# PostgreSQL's types that the views have, as DuckDB calls them; Parquet keeps each of them apart.
TYPES = {
    "bigint": "bigint",
    "boolean": "boolean",
    "character": "varchar",
    "date": "date",
    "integer": "integer",
    "jsonb": "json",
    "numeric": "decimal(38, 0)",
    "smallint": "smallint",
    "text": "varchar",
    "timestamp with time zone": "timestamptz",
    "uuid": "uuid",
}
# Rows in memory at once: 60 MB of the longest hits that there can be. With it and the limit below the process has
# 340 MB, be it for a million hits or for three; ten times as many rows make a file a tenth smaller, and need 600 MB.
ROW_GROUP = 6_144
# One thread keeps the order of the rows with nothing to wait for. Nothing is looked for on the network.
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "256MB",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_COPY = """
copy (
    select * from read_csv(
        '/dev/fd/{pipe}', auto_detect = false, header = false, delim = ',', quote = '"', escape = '"',
        new_line = '\\n', nullstr = '', allow_quoted_nulls = false, parallel = false,
        buffer_size = 4194304, max_line_size = 1048576, columns = {{{columns}}}
    )
) to '{path}' (format parquet, compression zstd, row_group_size {rows})
"""


class CannotWrite(Exception):
    """DuckDB could not write the file; the text is its own."""


def write(path: Path, relation: Relation, rows: Iterator[bytes]) -> None:
    """Raises ``CannotWrite``, ``BadRequest``."""
    try:
        import duckdb  # noqa: PLC0415 - only who wants Parquet installs it
    except ImportError:
        raise BadRequest("FORMAT=parquet needs DuckDB: make export FORMAT=parquet installs it") from None
    reader, writer = os.pipe()
    failures: list[Exception] = []

    def convert() -> None:
        try:
            with duckdb.connect(config=CONFIG | {"temp_directory": f"{path}.tmp"}) as connection:
                connection.execute(_statement(path, relation, reader))
        except duckdb.Error as error:
            failures.append(error)
        finally:
            os.close(reader)  # who still writes to it is told so

    thread = threading.Thread(target=convert, name="parquet")
    thread.start()
    try:
        _feed(writer, rows)
    finally:
        thread.join()
    if failures:
        raise CannotWrite(_in_words(failures[0])) from failures[0]


def _in_words(error: Exception) -> str:
    """A full disk as the system calls it, also where DuckDB could not put rows aside on it."""
    text = str(error).partition("\n")[0]
    is_full = any(words in text for words in ("No space left", "failed to offload"))
    return os.strerror(errno.ENOSPC) if is_full else text


def _feed(writer: int, rows: Iterator[bytes]) -> None:
    """Until the rows end, or nobody reads them any more: then the reader knows why."""
    try:
        with os.fdopen(writer, "wb") as pipe:
            for row in rows:
                pipe.write(row)
    except BrokenPipeError:
        pass


def _statement(path: Path, relation: Relation, pipe: int) -> str:
    columns = ", ".join(f"{_quoted(column.name)}: '{TYPES[column.type]}'" for column in relation.columns)
    return _COPY.format(pipe=pipe, columns=columns, path=str(path).replace("'", "''"), rows=ROW_GROUP)


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
