"""Puts a backup into a database that has no hits, and brings it to this version: docs/backup.md.

All of it is one transaction of PostgreSQL: killed at any moment, the database is as it was before. The tables are
made by the migrations up to that of the backup, filled, and migrated further; what a table holds must be what the
file says at its end. Services may run: they wait for the tables, and begin anew with a new connection.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
from psycopg import sql

from services.database import Connection, load_sql, pauses_s
from services.migrate.archive import BadBackup, Content, CopiedTable, Manifest, Part, Reader
from services.migrate.backup import SESSION, TABLES
from services.migrate.runner import MigrationError, migrate, migrations_in, refuse_strangers, settle
from services.rollups import REFRESH_LOCK
from services.settings import Settings

_SQL = Path(__file__).with_name("sql")
EMPTY = load_sql(_SQL / "restore_empty.sql")
KEEP = load_sql(_SQL / "restore_keep.sql")
DROP = load_sql(_SQL / "restore_drop.sql")
MERGE = load_sql(_SQL / "restore_merge.sql")
OTHERS = """-- restore: others
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
"""
TRIES_TO_LOCK = 30  # some seconds each, as services hold their locks for moments


class Refused(Exception):
    """This database cannot take this backup; the text says why, and what to do. Nothing was changed."""


class Restored(NamedTuple):
    """What is in the database now."""

    manifest: Manifest
    rows: int
    hits: int
    strangers: list[str]  # tables in the backup that are none of Footfall's, and were left out
    migrated: list[str]  # what was applied to it


def restore(
    connection: Connection,
    archive: Reader,
    settings: Settings,
    migrations: Path,
    progress: Callable[[str, int], None] = lambda *_: None,
) -> Restored:
    """Restore and migrate. The connection is the owner's, in autocommit mode, to a database without hits.

    ``progress`` is told the table and how many rows were read in all. Raises ``BadBackup``, ``Refused``,
    ``MigrationError``, ``psycopg.Error``; the database is as it was then.
    """
    _look_at(archive.manifest, settings, migrations)
    if connection.execute("select to_regclass('public.hits')").fetchall()[0][0]:
        _refuse_hits(connection)  # before it is brought to this version
    migrate(connection, migrations)
    try:
        return _in_one_transaction(connection, archive, settings, migrations, progress)
    except psycopg.errors.OutOfMemory as error:
        raise Refused(
            f"PostgreSQL has no room for the locks of {len(archive.manifest.days)} days in one transaction: raise "
            "max_locks_per_transaction (alter system set max_locks_per_transaction = 1024), restart it, and try "
            "again. Nothing was changed"
        ) from error


def _in_one_transaction(
    connection: Connection,
    archive: Reader,
    settings: Settings,
    migrations: Path,
    progress: Callable[[str, int], None],
) -> Restored:
    with connection.transaction():
        connection.execute("set local client_min_messages = warning")
        connection.execute(SESSION)
        _hold(connection)
        _refuse_hits(connection)
        connection.execute(KEEP)
        connection.execute(DROP)
        migrate(connection, migrations, newest=archive.manifest.level)
        rows, strangers = _fill(connection, archive, progress)
        progress("migrating", rows)
        migrated = migrate(connection, migrations)
        settle(connection, settings)
        connection.execute(MERGE)
        hits = _proven(connection, archive)
        connection.execute("analyze")
        _end_others(connection)
    return Restored(archive.manifest, rows, hits, strangers, migrated)


def _look_at(manifest: Manifest, settings: Settings, migrations: Path) -> None:
    """Raises what forbids to restore it, before anything is done."""
    applied = {item.number: item.sha256 for item in manifest.migrations}
    try:
        refuse_strangers(migrations_in(migrations), applied, "the backup")
    except MigrationError as error:
        raise BadBackup(str(error)) from error
    if manifest.report_timezone != settings.report_timezone.key:
        raise Refused(
            f"the backup's days are those of {manifest.report_timezone}, REPORT_TIMEZONE is "
            f"{settings.report_timezone.key}: set REPORT_TIMEZONE={manifest.report_timezone} to restore it; another "
            "zone afterwards is a matter of `make rebuild TIMEZONE=1`"
        )


def _hold(connection: Connection) -> None:
    """Nobody but us until the transaction ends. Raises ``Refused``."""
    for _, pause_s in zip(range(TRIES_TO_LOCK), pauses_s(1), strict=False):
        try:
            with connection.transaction():
                connection.execute("set local lock_timeout = '3s'")
                # First what others hold while they want a table.
                connection.execute(
                    "select pg_advisory_xact_lock(%s), pg_advisory_xact_lock(hashtext(%s))",
                    [REFRESH_LOCK, "footfall make_hits_partition"],
                )
                _lock_tables(connection)
                return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            connection.execute("select pg_sleep(%s)", [pause_s])
    raise Refused(
        "somebody holds tables of the database: stop the services, or wait for what runs, and try again"
    )


def _lock_tables(connection: Connection) -> None:
    tables = [CopiedTable(*row) for row in connection.execute(TABLES).fetchall()]
    # In the order in which an enricher comes to them.
    tables.sort(key=lambda table: (table.name != "stream_groups", table.full_name))
    names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
    connection.execute(sql.SQL("lock table {} in access exclusive mode").format(names))


def _refuse_hits(connection: Connection) -> None:
    rows = connection.execute(EMPTY).fetchall()
    if rows:
        raise Refused(
            f"the database is not empty ({', '.join(f'{what}: {number:,}' for what, number in rows)}): a backup is "
            "restored into a new installation only. Nothing was changed"
        )


def _fill(
    connection: Connection, archive: Reader, progress: Callable[[str, int], None]
) -> tuple[int, list[str]]:
    """Copy all rows; how many, and the tables that are none of ours."""
    try:
        with connection.transaction():
            return _copy_all(connection, archive, progress)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        raise BadBackup(
            f"the backup was altered: PostgreSQL refuses rows of it ({type(error).__name__})"
        ) from error


def _copy_all(
    connection: Connection, archive: Reader, progress: Callable[[str, int], None]
) -> tuple[int, list[str]]:
    manifest = archive.manifest
    for day in manifest.days:
        connection.execute("select make_hits_partition(%s)", [day.day])
    tables = _tables_to_fill(connection, manifest)
    found: dict[str, Content] = {}
    rows = 0
    for name, parts in itertools.groupby(archive.parts(), key=lambda part: part.table):
        if name in found:
            raise BadBackup(f"the backup was altered: {name} comes twice")
        found[name] = _fill_table(connection, tables.get(name), parts)
        rows += found[name].rows if name in tables else 0
        progress(name, rows)
    _compare(found, archive.contents.tables)
    for name, last in manifest.sequences.items():
        connection.execute("select setval(to_regclass(%s), %s)", [f"public.{name}", last])
    for day in manifest.days:
        if day.is_open:
            connection.execute("select open_hits_day(%s)", [day.day])
    return rows, sorted(set(found) - set(tables))


def _tables_to_fill(connection: Connection, manifest: Manifest) -> dict[str, CopiedTable]:
    """The tables of the backup that there are, emptied of what the migrations wrote into them."""
    there = {CopiedTable(*row).full_name: row[2] for row in connection.execute(TABLES).fetchall()}
    tables = {table.full_name: table for table in manifest.tables if table.full_name in there}
    for name, table in tables.items():
        if not set(table.columns) <= set(there[name]):
            raise BadBackup(f"the backup was altered: {name} has columns that are none of its")
    names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables.values())
    connection.execute(sql.SQL("truncate {}").format(names))
    return tables


def _fill_table(connection: Connection, table: CopiedTable | None, parts: Iterator[Part]) -> Content:
    """Copy the rows of a table; without a table they are only read."""
    digest, rows = hashlib.sha256(), 0
    with contextlib.ExitStack() as stack:
        copy = stack.enter_context(connection.cursor().copy(_into(table))) if table else None
        for part in parts:
            digest.update(part.data)
            rows += part.data.count(b"\n")  # one a row: others are written as \n
            if copy:
                copy.write(part.data)
    return Content(rows, digest.hexdigest())


def _into(table: CopiedTable) -> sql.Composed:
    return sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier(table.schema, table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
    )


def _compare(found: dict[str, Content], wanted: dict[str, Content]) -> None:
    """Raises ``BadBackup`` where what was read is not what the end of the file says."""
    with_rows = {name: content for name, content in wanted.items() if content.rows}  # others have no part
    wrong = [name for name in {*found, *with_rows} if found.get(name) != with_rows.get(name)]
    if wrong:
        raise BadBackup(
            f"the backup was altered: its end does not say the same of {', '.join(sorted(wrong)[:5])}"
        )


def _proven(connection: Connection, archive: Reader) -> int:
    """The hits that are stored now; raises ``BadBackup`` where the backup has others."""
    [(hits,)] = connection.execute("select count(*) from stored_hits").fetchall()
    contents = archive.contents.tables
    wanted = sum(contents[day.table].rows for day in archive.manifest.days if day.table in contents)
    if hits != wanted:
        raise BadBackup(
            f"{hits} hits came out of a backup of {wanted}: please report it. Nothing was changed"
        )
    return int(hits)


def _end_others(connection: Connection) -> None:
    """Others' connections end: what they know of the tables of before is no longer so."""
    try:
        connection.execute(OTHERS)
    except psycopg.errors.InsufficientPrivilege:
        raise Refused(
            "others work on the database, and the role of DATABASE_URL may not end their connections: "
            "stop the services"
        ) from None
