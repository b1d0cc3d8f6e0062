"""`make datasette`: opens an export in Datasette, on this machine only, with the meaning of each table and column.

Datasette runs in a virtual environment of its own; the pages it serves ask nothing of other hosts.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.arguments import Argument
from tools.export.__main__ import main as export
from tools.export.request import FOLDER

ARGUMENTS = (
    Argument("FILE", "an export as SQLite; without it a new one is made of all"),
    Argument("PORT", "on 127.0.0.1", "8001"),
    Argument("FROM", "the first day of a new one"),
    Argument("TO", "its last day"),
    Argument("SITE", "one site alone in a new one"),
)
ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv/datasette/bin/python"
NEW = FOLDER / "all.sqlite"
HOST, DEFAULT_PORT = "127.0.0.1", 8001
# An analyst's own questions may take a while; a cell of a title is shown whole.
SETTINGS = {"sql_time_limit_ms": "10000", "truncate_cells_html": "600", "max_returned_rows": "10000"}


class CannotOpen(Exception):
    """The file is no export; the text says what to do."""


def metadata_of(path: Path) -> dict[str, Any]:
    """Titles and meanings, as Datasette reads them. Raises ``CannotOpen``."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            rows = connection.execute("select table_name, column_name, meaning from about").fetchall()
    except sqlite3.Error as error:
        raise CannotOpen(
            f"FILE: {path} is no export ({error}): make one by make export FORMAT=sqlite VIEW=all OUT={path}"
        ) from None
    tables: dict[str, Any] = {"about": {"title": "About", "description": "What each table and column means."}}
    for table, column, meaning in rows:
        told = tables.setdefault(table, {"title": table.replace("_", " ").capitalize(), "columns": {}})
        if column is None:
            told["description"] = meaning
        else:
            told["columns"][column] = meaning
    return {"title": "Footfall", "databases": {path.stem: {"title": "Footfall", "tables": tables}}}


def command_of(python: Path, file: Path, metadata: str, port: int) -> list[str]:
    """The command that serves a file; ``metadata`` is the path of its description."""
    settings = [word for name, value in SETTINGS.items() for word in ("--setting", name, value)]
    return [
        *(str(python), "-m", "datasette", "serve", "--immutable", str(file), "--metadata", metadata),
        *("--host", HOST, "--port", str(port), *settings),
    ]  # fmt: skip


def port_of(environ: Mapping[str, str]) -> int:
    """PORT. Raises ``CannotOpen``."""
    text = environ.get("PORT") or str(DEFAULT_PORT)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65_536:
        raise CannotOpen("PORT: a number from 1 to 65535")
    return int(text)


def main() -> int:
    """Becomes Datasette; 1 where that cannot be, with an error that says what to do."""
    path = Path(os.environ.get("FILE") or NEW)
    try:
        port = port_of(os.environ)
        if not os.environ.get("FILE"):
            os.environ.update({"VIEW": "all", "FORMAT": "sqlite", "OUT": str(NEW), "SPREADSHEET": ""})
            if failed := export():
                return failed
        metadata = metadata_of(path)
    except CannotOpen as error:
        print(error, file=sys.stderr)
        return 1
    with tempfile.TemporaryFile("w") as file:  # without a name: nothing stays when Datasette ends
        json.dump(metadata, file)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        os.set_inheritable(file.fileno(), True)
        print(f"{path} in Datasette: http://{HOST}:{port}/  (Ctrl-C ends it)", flush=True)
        os.execv(PYTHON, command_of(PYTHON, path, f"/dev/fd/{file.fileno()}", port))


if __name__ == "__main__":
    sys.exit(main())
