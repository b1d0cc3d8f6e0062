"""Applies ``migrations/NNNN_words.sql`` in order: forward only, hashed, each in a transaction.

An advisory lock, which ends with its connection, lets several runners start at once; a killed one leaves
no stale lock. A file that was applied and then changed is an error: what ran must stay what is written.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import LiteralString, NamedTuple

import psycopg
from psycopg import sql

from services.database import Connection, load_sql, make_partitions, pauses_s
from services.key_files import read_password
from services.rules import VERSION
from services.settings import Settings, Site
from services.sites import text_of

LOCK = 0x666F6F7466616C  # "footfal", as a number: one lock for all runners

LEDGER = """
create table if not exists schema_migrations (
    number integer primary key,
    name text not null,
    sha256 text not null,
    applied_at timestamptz not null default now()
);
comment on table schema_migrations is 'The migrations that were applied, and what they said.';
comment on column schema_migrations.number is 'Number of the file.';
comment on column schema_migrations.name is 'Name of the file.';
comment on column schema_migrations.sha256 is 'Hash of the file when it was applied.';
comment on column schema_migrations.applied_at is 'When it was applied.';
"""

# The roles that log in with a made-up password, and its name.
PASSWORD_ROLES = {
    "analyst": "analyst",
    "grafana_reader": "grafana_reader",
    "grafana_explorer": "grafana_explorer",
    "footfall_enricher": "enricher",
    "footfall_rollup": "rollup",
}
SETTLE_RIGHTS = load_sql(Path(__file__).with_name("sql") / "settle_rights.sql")


class MigrationError(Exception):
    """The migrations and the database do not fit together; the text says what to do."""


class Migration(NamedTuple):
    """A file of ``migrations/``."""

    number: int
    path: Path
    sha256: str


def migrations_in(directory: Path) -> list[Migration]:
    """The files in order. Raises ``MigrationError`` for a gap, a double number, a name out of form."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_[a-z0-9_]+\.sql", path.name)
        if not match:
            raise MigrationError(f"{path}: name it NNNN_words.sql")
        found.append(Migration(int(match[1]), path, hashlib.sha256(path.read_bytes()).hexdigest()))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError(f"{directory}: numbers must run from 0001 without a gap or a double")
    return found


def migrate(
    connection: Connection,
    directory: Path,
    waiting: Callable[[str], None] = lambda _: None,
    newest: int | None = None,
) -> list[str]:
    """Apply what is missing and settle who may do what; the names of what was applied.

    The connection must be in autocommit mode. ``waiting`` is told the name of what does not get its locks; it is
    tried again. ``newest``: no migration after this number. Raises ``MigrationError``.
    """
    migrations = migrations_in(directory)[:newest]
    connection.execute("select pg_advisory_lock(%s)", [LOCK])
    try:
        connection.execute("set client_min_messages = warning")
        connection.execute(LEDGER)
        rows = connection.execute("select number, sha256 from schema_migrations").fetchall()
        applied: dict[int, str] = dict(rows)
        refuse_strangers(migrations, applied)
        _refuse_without_roles(connection)
        todo = [migration for migration in migrations if migration.number not in applied]
        for migration in todo:
            _apply(migration.path.name, partial(_applied, connection, migration), waiting)
        _apply("the services' rights", partial(_with_locks, connection, SETTLE_RIGHTS), waiting)
        return [migration.path.name for migration in todo]
    finally:
        if not connection.closed:
            connection.execute("select pg_advisory_unlock(%s)", [LOCK])


def refuse_strangers(
    migrations: list[Migration], applied: dict[int, str], what: str = "the database"
) -> None:
    """Raises ``MigrationError`` where ``what`` has a migration that this version does not have so."""
    known = {migration.number: migration for migration in migrations}
    newer = [number for number in applied if number not in known]
    if newer:
        raise MigrationError(
            f"{what} is of a newer Footfall than this one: it has migration {max(newer):04}, this version knows them "
            f"up to {len(migrations):04}. Nothing was changed. Run the version that it is of, or a later one; going "
            "back to an older one wants a backup of then, restored into an empty database (docs/backup.md)"
        )
    for number, sha256 in applied.items():
        if known[number].sha256 != sha256:
            raise MigrationError(
                f"{known[number].path.name} was changed after {what} had it: "
                "put the file back and write a new migration"
            )


def _refuse_without_roles(connection: Connection) -> None:
    """Roles are a server's, not a database's: a dump has none, nor has what is restored without them their rights."""
    row = connection.execute(
        "select to_regclass('public.daily_traffic') is null"
        " or exists (select from pg_roles where rolname = 'analyst')"
    ).fetchone()
    if row and row[0]:
        return
    raise MigrationError(
        "the tables are there and Footfall's roles are not, as after a pg_restore on a new server: empty the "
        "database, start once, which makes the roles, and restore again with pg_restore --clean --if-exists, or by "
        "`make restore` (docs/backup.md)"
    )


def _apply(what: str, attempt: Callable[[], bool], waiting: Callable[[str], None]) -> None:
    """Once its locks are to be had; each time it waits 3 s at most, because all others wait behind it."""
    for pause_s in pauses_s():
        if attempt():
            break
        waiting(what)
        time.sleep(pause_s)


def _applied(connection: Connection, migration: Migration) -> bool:
    """Whether it got its locks. Raises ``MigrationError``."""
    try:
        return _with_locks(
            connection,
            load_sql(migration.path),
            "insert into schema_migrations (number, name, sha256) values (%s, %s, %s)",
            [migration.number, migration.path.name, migration.sha256],
        )
    except psycopg.Error as error:
        raise MigrationError(f"{migration.path.name} failed and was rolled back: {error}") from error


def _with_locks(
    connection: Connection, statements: LiteralString, then: LiteralString = "", values: Sequence[object] = ()
) -> bool:
    """Execute in one transaction; False when it did not get its locks. Raises ``psycopg.Error``."""
    try:
        with connection.transaction():
            connection.execute("set local lock_timeout = '3s'")
            connection.execute(statements)
            if then:
                connection.execute(then, values)
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return False
    return True


def settle(connection: Connection, settings: Settings) -> str | None:
    """Write the settings that SQL needs, passwords and the coming days; the former time zone where hits are of it.

    Raises ``MigrationError``.
    """
    former = set_timezone(connection, settings.report_timezone.key)
    set_sites(connection, settings.sites)
    note_rules(connection, VERSION)
    set_passwords(connection, lambda name: read_password(settings.key_dir, name))
    make_partitions(connection)
    return former


def set_timezone(connection: Connection, report_timezone: str) -> str | None:
    """Write the reporting time zone; the earlier one where it was another and hits exist.

    Raises ``MigrationError`` for a zone that PostgreSQL does not know.
    """
    known = connection.execute(
        "select exists (select from pg_timezone_names where name = %s)", [report_timezone]
    ).fetchone()
    if not known or not known[0]:
        raise MigrationError(f"REPORT_TIMEZONE: PostgreSQL does not know {report_timezone!r}")
    row = connection.execute(
        "select report_timezone, exists (select from rollup_traffic) from installation"
    ).fetchone()
    connection.execute("update installation set report_timezone = %s", [report_timezone])
    return row[0] if row and row[1] and row[0] != report_timezone else None


def set_sites(connection: Connection, sites: Sequence[Site]) -> None:
    """Write which sites are counted: `make renormalise` must read history under the same."""
    connection.execute("update installation set sites = %s", [text_of(sites)])


def note_rules(connection: Connection, version: int) -> None:
    """Remember by which rules hits are read from now on, and show on the curves that they are others than before."""
    with connection.transaction():
        row = connection.execute("select rules from installation for update").fetchone()
        former = row[0] if row else None
        if former == version:
            return
        connection.execute("update installation set rules = %s", [version])
        if former is not None:
            connection.execute(
                "insert into annotations (begins_at, kind, text) values (now(), 'rules', %s)",
                [f"New rules for sources and bots: version {version}, before {former}"],
            )


def set_passwords(connection: Connection, password_of: Callable[[str], str | None]) -> None:
    """Give the roles that are there the passwords that are known, so that they can log in over the network."""
    known = {name for (name,) in connection.execute("select rolname from pg_roles").fetchall()}
    for role, name in PASSWORD_ROLES.items():
        password = password_of(name)
        if password and role in known:
            connection.execute(
                sql.SQL("alter role {} password {}").format(sql.Identifier(role), sql.Literal(password))
            )
