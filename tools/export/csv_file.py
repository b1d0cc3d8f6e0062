"""CSV as RFC 4180 has it: UTF-8, a header, CRLF. NULL is nothing between the commas, an empty text is ``""``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from psycopg import sql

from tools.export.reading import moments
from tools.export.relations import Column, Relation

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # by which a spreadsheet knows UTF-8
# What a spreadsheet takes for a formula, also after it has cut off leading white space.
_FORMULA = sql.SQL("""case when {0} ~ '^[[:space:]]*[-=+@＝＋－＠]' then '''' || {0} else {0} end""")


def for_spreadsheet(column: Column) -> sql.Composable:
    """The column, with an apostrophe before a text that a spreadsheet would compute."""
    return _FORMULA.format(sql.Identifier(column.name)) if column.type == "text" else moments(column)


def write(target: Path | int, relation: Relation, rows: Iterator[bytes], mark: bytes = b"") -> None:
    """To a file, or to an open one by its number, which is closed then. Raises ``OSError``."""
    with open(target, "wb") as file:
        file.write(mark + ",".join(column.name for column in relation.columns).encode() + b"\r\n")
        file.writelines(row[:-1] + b"\r\n" for row in rows)


def write_for_spreadsheet(target: Path | int, relation: Relation, rows: Iterator[bytes]) -> None:
    """The same with a byte order mark. Raises ``OSError``."""
    write(target, relation, rows, BYTE_ORDER_MARK)
