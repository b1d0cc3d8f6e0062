"""`make restore FROM=…`: puts a backup into a new installation, whether it runs or not."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from services.migrate.__main__ import MIGRATIONS
from services.migrate.archive import BadBackup, Reader
from services.migrate.backup_command import BadRequest, identities_of
from services.migrate.restore import Refused, Restored, restore
from services.migrate.runner import MigrationError
from services.settings import Settings, SettingsError, load_settings
from tools.arguments import Argument
from tools.owner_database import owner_database
from tools.servers import ServerError
from tools.stack import NoStack

ARGUMENTS = (
    Argument("FROM", "the backup"),
    Argument("KEY_FILE", "the key that opens it"),
    Argument("PASSPHRASE_FILE", "a file with the passphrase that opens it"),
)
NAMES = tuple(argument.name for argument in ARGUMENTS)
UNCHANGED = "Nothing was changed."


def put_back(url: str, path: Path, request: Mapping[str, str], settings: Settings) -> Restored:
    """Restore a file, with progress. Raises what ``main`` says in words."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        path.open("rb", buffering=0) as file,
        Progress(*columns, console=Console(stderr=True)) as shown,
    ):
        task = shown.add_task("opening", total=path.stat().st_size)

        def progress(table: str, rows: int) -> None:
            shown.update(task, completed=file.tell(), description=f"{rows:,} rows, {table}")

        archive = Reader(file, identities_of(request))
        with psycopg.connect(
            url, autocommit=True, connect_timeout=5, application_name="footfall restore"
        ) as connection:
            return restore(connection, archive, settings, MIGRATIONS, progress)


def report(restored: Restored) -> None:
    """What is in the database now."""
    manifest = restored.manifest
    print(f"restored {restored.hits:,} hits of {len(manifest.days)} days, {restored.rows:,} rows in all, as of "
          f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC: each table has the rows that the backup says")  # fmt: skip
    if restored.migrated:
        print(f"brought from migration {manifest.level:04} to this version: {', '.join(restored.migrated)}")
    for name in restored.strangers:
        print(f"left out: {name} is none of Footfall's tables; its rows are in the file, as `tar` shows")
    print("`make check` beside the running stack compares all figures with the hits")


def run(environ: Mapping[str, str]) -> None:
    """Raises what ``main`` says in words."""
    request = {name: environ[name] for name in NAMES if environ.get(name)}
    if "FROM" not in request:
        raise BadRequest("make restore FROM=file [KEY_FILE=…] [PASSPHRASE_FILE=…]")
    path, settings = Path(request["FROM"]).expanduser(), load_settings(environ)
    if not path.is_file():
        raise BadRequest(f"FROM: there is no file {path}")
    with path.open("rb") as file:
        Reader(file, identities_of(request))  # what no key opens starts no server
    with owner_database(settings, make=True) as url:
        report(put_back(url, path, request, settings))


def main() -> int:
    """0, or 1 with an error that says what to do; the database is as it was then."""
    try:
        run(os.environ)
    except (BadRequest, BadBackup, Refused, MigrationError, NoStack, ServerError) as error:
        print(error, file=sys.stderr)
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
    except psycopg.Error as error:
        print(f"PostgreSQL: {type(error).__name__}. {UNCHANGED}", file=sys.stderr)
    except OSError as error:
        print(f"FROM: {error.strerror}. {UNCHANGED}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(f"interrupted. {UNCHANGED}")
