"""What `backup` and `restore` are asked by name, and both as commands of the image, by its standard streams."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psycopg

from services.database import connect
from services.logs import Logger
from services.migrate import age, age_keys
from services.migrate.archive import BadBackup, Reader, Writer
from services.migrate.backup import CannotBackUp, back_up
from services.migrate.restore import Refused
from services.migrate.restore import restore as put_back
from services.migrate.runner import MigrationError
from services.settings import Settings

TO_ENCRYPT = ("RECIPIENT", "PASSPHRASE_FILE")
TO_OPEN = ("KEY_FILE", "PASSPHRASE_FILE")
SAY_EVERY_S = 10.0


class BadRequest(Exception):
    """What was asked for cannot be; the text says what to change."""


def request_of(arguments: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """NAME=value of these names; empty is not asked. Raises ``BadRequest``."""
    found = dict(argument.partition("=")[::2] for argument in arguments)
    for name in found:
        if name not in names:
            raise BadRequest(f"{name}: not understood; it takes {', '.join(f'{name}=' for name in names)}")
    return {name: value for name, value in found.items() if value}


def recipients_of(request: Mapping[str, str]) -> list[age.Recipient]:
    """Whom a backup is encrypted for; nobody: it is not. Raises ``BadRequest``."""
    keys = [part for part in request.get("RECIPIENT", "").replace(",", " ").split() if part]
    if keys and "PASSPHRASE_FILE" in request:
        raise BadRequest("RECIPIENT, PASSPHRASE_FILE: one of both")
    try:
        return [age_keys.public_key(key) for key in keys] or list(_passphrase(request))
    except ValueError as error:
        raise BadRequest(f"RECIPIENT: {error}") from None


def identities_of(request: Mapping[str, str]) -> list[age.Identity]:
    """What a backup may be opened with. Raises ``BadRequest``."""
    found: list[age.Identity] = list(_passphrase(request))
    if name := request.get("KEY_FILE"):
        try:
            found += age_keys.private_keys(_text_of("KEY_FILE", name))
        except ValueError as error:
            raise BadRequest(f"KEY_FILE: {name}: {error}") from None
    return found


def _passphrase(request: Mapping[str, str]) -> list[str]:
    name = request.get("PASSPHRASE_FILE")
    if not name:
        return []
    words = _text_of("PASSPHRASE_FILE", name).strip("\r\n")
    if not words:
        raise BadRequest(f"PASSPHRASE_FILE: {name} is empty")
    return [words]


def _text_of(what: str, name: str) -> str:
    try:
        return Path(name).expanduser().read_text()
    except OSError as error:
        raise BadRequest(f"{what}: cannot read {name}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadRequest(f"{what}: {name} is not text") from None


def _now_and_then(tell: Callable[[str, int], None]) -> Callable[[str, int], None]:
    """Progress as a line of the log every ``SAY_EVERY_S``."""
    next_s = time.monotonic() + SAY_EVERY_S

    def say(table: str, rows: int) -> None:
        nonlocal next_s
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + SAY_EVERY_S
            tell(table, rows)

    return say


def backup(settings: Settings, arguments: Sequence[str], log: Logger) -> int:
    """0, or 1 with an error that says what to do; what was written then is no whole backup."""
    try:
        recipients = recipients_of(request_of(arguments, TO_ENCRYPT))
        if sys.stdout.isatty():
            raise BadRequest(
                "the backup goes to standard output: send it to a file, with `> footfall.tar.gz`"
            )
        with connect(settings, "backup", autocommit=True) as connection:
            say = _now_and_then(lambda table, rows: log.info("copying", table=table, rows=rows))
            manifest, contents = back_up(connection, Writer(sys.stdout.buffer, recipients), say)
        sys.stdout.buffer.flush()
    except (BadRequest, CannotBackUp) as error:
        log.error("cannot-back-up", problem=str(error))
        return 1
    except (psycopg.Error, OSError) as error:
        log.error("cannot-back-up", problem=f"{type(error).__name__}: is PostgreSQL up, is there room? Not whole: "
                  "delete what was written")  # fmt: skip
        return 1
    rows = sum(content.rows for content in contents.tables.values())
    log.info("backed-up", migration=manifest.level, rows=rows, encrypted=bool(recipients))
    return 0


def restore(settings: Settings, arguments: Sequence[str], log: Logger, migrations: Path) -> int:
    """0, or 1 with an error that says what to do; the database is as it was then."""
    try:
        identities = identities_of(request_of(arguments, TO_OPEN))
        if sys.stdin.isatty():
            raise BadRequest("the backup comes by standard input: give a file, with `< footfall.tar.gz`")
        archive = Reader(sys.stdin.buffer, identities)
        with connect(settings, "restore", autocommit=True) as connection:
            say = _now_and_then(lambda table, rows: log.info("restoring", table=table, rows=rows))
            restored = put_back(connection, archive, settings, migrations, say)
    except (BadRequest, BadBackup, Refused, MigrationError) as error:
        log.error("not-restored", problem=str(error))
        return 1
    except (psycopg.Error, OSError) as error:
        log.error(
            "not-restored",
            problem=f"{type(error).__name__}: is PostgreSQL up, is there room? Nothing was changed",
        )
        return 1
    if restored.strangers:
        log.warning(
            "left-out",
            tables=restored.strangers,
            note="none of Footfall's tables; their rows are in the file",
        )
    log.info("restored", made_at=str(restored.manifest.made_at), rows=restored.rows, hits=restored.hits,
             migrated=restored.migrated)  # fmt: skip
    return 0
