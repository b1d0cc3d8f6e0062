"""`make export`: `hits` or reporting views as CSV, Parquet or SQLite, whole or not at all, with progress."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import psycopg
from psycopg import sql
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from services.database import place_of_database
from tools.arguments import BadRequest
from tools.export import csv_file, parquet_file, sqlite_file
from tools.export.reading import Expression, chosen, lines, moments, parts_of, question, snapshot, tuples
from tools.export.relations import Connection, Relation
from tools.export.request import Request, request_of
from tools.export.staging import staged
from tools.stack import NoStack, running_urls

SHOWN_EVERY = 2_000  # rows
NOTHING = "Nothing was left behind"


class Format(NamedTuple):
    """How rows are asked for, read, and written to a file of one view (SQLite: added to a file)."""

    expression: Expression
    read: Callable[[Connection, sql.Composed], Generator[Any]]
    write: Callable[[Any, Relation, Iterator[Any]], None]


FORMATS = {
    "csv": Format(moments, lines, csv_file.write),
    "parquet": Format(moments, lines, parquet_file.write),
    "sqlite": Format(sqlite_file.numbers, tuples, sqlite_file.write),
}
FOR_SPREADSHEET = Format(csv_file.for_spreadsheet, lines, csv_file.write_for_spreadsheet)


class Shown:
    """How far the export is, on standard error; counts the rows."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: TaskID | None = None
        self.rows = 0

    def begin(self, relation: Relation, parts: int) -> None:
        """Another view, of so many parts."""
        self._task = self._progress.add_task(relation.name, total=parts, rows="")

    def counted(self, rows: Generator[Any]) -> Generator[Any]:
        """The rows of a part, which is done when they end."""
        with contextlib.closing(rows):  # a COPY that nobody reads on is ended
            for row in rows:
                self.rows += 1
                if self.rows % SHOWN_EVERY == 0:
                    self._show()
                yield row
        self._show(advance=1)

    def _show(self, advance: int = 0) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=advance, rows=f"{self.rows:,} rows")


@contextlib.contextmanager
def shown() -> Iterator[Shown]:
    """A bar for each view."""
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[rows]}"), TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Shown(progress)


@dataclass(frozen=True, slots=True)
class Export:
    """One export: from where, what, how."""

    connection: Connection
    request: Request
    told: Shown

    def put(self, relation: Relation, target: Path | int) -> None:
        """Write a view to a file, or to an open one by its number, which is closed then."""
        form = FOR_SPREADSHEET if self.request.spreadsheet else FORMATS[self.request.format]
        with contextlib.closing(self._rows(relation, form)) as rows:
            form.write(target, relation, rows)

    def _rows(self, relation: Relation, form: Format) -> Generator[Any]:
        """All rows of a view, a part after the other."""
        parts = parts_of(self.connection, relation, self.request)
        self.told.begin(relation, len(parts))
        for part in parts:
            asked = question(relation, part, self.request.site, form.expression)
            yield from self.told.counted(form.read(self.connection, asked))


def export(url: str, request: Request) -> int:
    """Write what is asked for; how many rows. Raises what ``main`` says in words."""
    with snapshot(url) as connection:
        wanted = chosen(connection, request)
        with shown() as told:
            export = Export(connection, request, told)
            if request.to_standard_output:
                export.put(wanted[0], os.dup(sys.stdout.fileno()))
                return told.rows
            with staged(request.path) as whole:
                if request.is_folder:
                    whole.mkdir()
                for relation in wanted:
                    name = f"{relation.name}.{request.format}"
                    export.put(relation, whole / name if request.is_folder else whole)
        return told.rows


def size_of(path: Path) -> int:
    """Bytes of a file, or of the files of a folder."""
    return sum(part.stat().st_size for part in (path.iterdir() if path.is_dir() else (path,)))


def run(request: Request) -> None:
    """Export, and say what was written. Raises what ``main`` says in words."""
    rows = export(os.environ.get("DATABASE_URL") or running_urls()["DATABASE_URL"], request)
    if not request.to_standard_output:
        print(f"{request.path}: {rows:,} rows, {size_of(request.path):,} bytes")


def main() -> int:
    """0; 2 for what cannot be asked; 1 with an error that says what to do."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    request = Request()
    try:
        request = request_of(os.environ)
        run(request)
    except BadRequest as error:
        print(error, file=sys.stderr)
        return 2
    except NoStack as error:
        print(error, file=sys.stderr)
    except BrokenPipeError:
        print("standard output: nobody reads it any more", file=sys.stderr)
    except (OSError, sqlite3.Error, parquet_file.CannotWrite) as error:
        print(_not_written(request, error), file=sys.stderr)
    except psycopg.OperationalError as error:
        place = place_of_database(os.environ.get("DATABASE_URL", "")) or "the running stack"
        print(f"PostgreSQL ({place}): {type(error).__name__}. {NOTHING}.", file=sys.stderr)
    except psycopg.Error as error:
        print(f"PostgreSQL: {type(error).__name__}. {NOTHING}.", file=sys.stderr)
    except KeyboardInterrupt:
        print(f"\nended. {NOTHING}.", file=sys.stderr)
    else:
        return 0
    return 1


def _interrupt(number: int, _: object) -> NoReturn:
    raise KeyboardInterrupt


def _not_written(request: Request, error: Exception) -> str:
    """What went wrong on the disk, and what to do."""
    if request.to_standard_output:
        return f"standard output: {error}. What came so far is not whole."
    why, left = getattr(error, "strerror", None) or error, NOTHING
    with contextlib.suppress(OSError):
        left += f", {shutil.disk_usage(request.path.parent).free / 1e6:,.0f} MB are free there now"
    return f"{request.path} could not be written: {why}. {left}: make room, or name another place by OUT=."


if __name__ == "__main__":
    sys.exit(main())
