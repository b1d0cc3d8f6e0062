"""`make backup`: a copy of the database in a file, while hits come; also of a stack that does not run."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import psycopg
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from services.key_files import sync_directory
from services.migrate import age, age_keys
from services.migrate.archive import Contents, Manifest, Writer
from services.migrate.backup import CannotBackUp, back_up
from services.migrate.backup_command import BadRequest, recipients_of
from services.settings import SettingsError, load_settings
from tools.arguments import Argument
from tools.owner_database import owner_database
from tools.servers import ServerError
from tools.stack import NoStack

ARGUMENTS = (
    Argument("OUT", "a folder or a file", "DATA_DIR/backups"),
    Argument("RECIPIENT", "encrypt it for a public key, age1…; several with spaces"),
    Argument("PASSPHRASE_FILE", "encrypt it by the passphrase in this file"),
    Argument("NEW_KEY", "make a key in this file and print its public part; no backup is made"),
)
NAMES = tuple(argument.name for argument in ARGUMENTS)
PART = ".footfall-part"
# What PostgreSQL believes; right within some percent.
ROWS = """
select greatest(1, sum(greatest(reltuples, 0)))::bigint from pg_class
where relkind = 'r' and relnamespace in ('public'::regnamespace, to_regnamespace('hits_days'))
"""


def request_of(environ: Mapping[str, str]) -> dict[str, str]:
    """What is asked for by name; empty is not asked. Raises ``BadRequest``."""
    request = {name: environ[name] for name in NAMES if environ.get(name)}
    if "NEW_KEY" in request and len(request) > 1:
        raise BadRequest("NEW_KEY: it makes a key and no backup; give it alone")
    return request


def place_of(out: str, default: Path, now: datetime.datetime, *, encrypted: bool) -> Path:
    """The file to write: ``out``, or a new one in that folder. Raises ``BadRequest``."""
    name = f"footfall-{now:%Y-%m-%dT%H%M%SZ}.tar.gz{'.age' if encrypted else ''}"
    path = Path(out).expanduser() if out else default / name
    if not out:
        default.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif path.is_dir() or out.endswith("/"):
        path = path / name
    if not path.parent.is_dir():
        raise BadRequest(f"OUT: there is no folder {path.parent}")
    if path.exists():
        raise BadRequest(f"OUT: {path} is there already, and is left as it is")
    return path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file that its owner alone reads, and that has its name only once it is whole and on disk.

    What a killed run left beside it goes. Raises ``OSError``; nothing is left then.
    """
    _remove_left(path.parent)
    part = path.with_name(f".{path.name}{PART}")
    with open(part, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.rename(path)
        except BaseException:
            part.unlink()
            raise
    sync_directory(path.parent)


def _remove_left(folder: Path) -> None:
    for part in folder.glob(f".*{PART}"):
        with contextlib.suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody writes it any more
            part.unlink()


def write_backup(url: str, path: Path, recipients: list[age.Recipient]) -> tuple[Manifest, Contents]:
    """Write it, with progress. Raises ``CannotBackUp``, ``psycopg.Error``, ``OSError``."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with (
        psycopg.connect(
            url, autocommit=True, connect_timeout=5, application_name="footfall backup"
        ) as connection,
        whole_file(path) as file,
        Progress(*columns, console=Console(stderr=True)) as shown,
    ):
        [(expected,)] = connection.execute(ROWS).fetchall()
        task = shown.add_task("copying", total=expected)

        def progress(table: str, rows: int) -> None:
            shown.update(task, completed=min(rows, expected), description=f"{rows:,} rows, {table}")

        written = back_up(connection, Writer(file, recipients), progress)
        shown.update(task, completed=expected, description="written")
    return written


def make_key(name: str) -> str:
    """Write a new private key to a file; the public one. Raises ``OSError``."""
    private, public = age_keys.make_key()
    path = Path(name).expanduser()
    with open(path, "x", opener=lambda file, flags: os.open(file, flags, 0o600)) as file:
        file.write(f"# Opens backups of Footfall that were made with RECIPIENT={public}\n{private}\n")
    return public


def report(path: Path, manifest: Manifest, contents: Contents, *, encrypted: bool) -> None:
    """What was written."""
    rows = {name: content.rows for name, content in contents.tables.items()}
    hits = sum(rows[day.table] for day in manifest.days)
    print(path)
    print(f"{hits:,} hits of {len(manifest.days)} days, {sum(rows.values()):,} rows in all, "
          f"{path.stat().st_size / 1e6:,.1f} MB, {'encrypted' if encrypted else 'not encrypted'}")  # fmt: skip
    print(f"of {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC, migration {manifest.level:04}, "
          f"PostgreSQL {manifest.postgresql}; without keys, stream and spool")  # fmt: skip


def run(environ: Mapping[str, str]) -> None:
    """Raises what ``main`` says in words."""
    request, settings = request_of(environ), load_settings(environ)
    if "NEW_KEY" in request:
        print(f"RECIPIENT={make_key(request['NEW_KEY'])}")
        print(
            f"{request['NEW_KEY']} opens what is made with it: keep it off this machine, and twice",
            file=sys.stderr,
        )
        return
    recipients = recipients_of(request)
    encrypted = bool(recipients)
    now = datetime.datetime.now(datetime.UTC)
    with owner_database(settings, make=False) as url:
        path = place_of(request.get("OUT", ""), settings.data_dir / "backups", now, encrypted=encrypted)
        manifest, contents = write_backup(url, path, recipients)
    report(path, manifest, contents, encrypted=encrypted)


def main() -> int:
    """0, or 1 with an error that says what to do; no file is left then."""
    try:
        run(os.environ)
    except (BadRequest, CannotBackUp, NoStack, ServerError) as error:
        print(error, file=sys.stderr)
    except SettingsError as error:
        print("\n".join(error.problems), file=sys.stderr)
    except psycopg.Error as error:
        print(f"PostgreSQL: {type(error).__name__}. No backup was written.", file=sys.stderr)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"OUT: {where}{error.strerror}. No backup was written.", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("interrupted: no backup was written")
