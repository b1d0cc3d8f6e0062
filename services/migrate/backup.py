"""Copies the database as it is at one moment into a file, while hits come: docs/backup.md.

Rows only: tables are made by the migrations when it is restored. It reads one snapshot, which nobody waits for but a
migration, and upkeep that wants to drop a day.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from psycopg import sql

from services.database import Connection
from services.migrate.archive import (
    FORMAT,
    PART_BYTES,
    AppliedMigration,
    Content,
    Contents,
    CopiedDay,
    CopiedTable,
    Manifest,
    Part,
    Writer,
)

# Until all tables that are there are locked.
TRIES = 5
# Of tables and rows; the text is the same wherever it is read.
SESSION = """
set local timezone = 'UTC';
set local datestyle = 'ISO, YMD';
set local intervalstyle = 'postgres';
set local bytea_output = 'hex';
set local extra_float_digits = 1;
set local statement_timeout = 0;
set local idle_in_transaction_session_timeout = 0;
"""

TABLES = """-- backup: tables
select n.nspname::text, c.relname::text,
       array(
           select a.attname::text from pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
           order by a.attnum
       )
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ('public', 'hits_days') and c.relkind = 'r' and c.relname <> 'schema_migrations'
  -- What an extension made is none of ours.
  and not exists (
      select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
  )
order by n.nspname desc, c.relname
"""

# Before 0004 a day had no indexes of its own name: those of its parent came and stayed with it.
DAYS = """-- backup: days
select to_date(substr(c.relname, 2), 'YYYYMMDD'), to_regclass('hits_days.' || c.relname || '_identity') is not null
from pg_inherits p join pg_class c on c.oid = p.inhrelid
where c.relnamespace = 'hits_days'::regnamespace and c.relkind = 'r'
order by 1
"""

SEQUENCES = """-- backup: sequences
select sequencename::text, last_value from pg_sequences
where schemaname = 'public' and last_value is not null order by 1
"""


class CannotBackUp(Exception):
    """There is nothing to copy, or not now; the text says what to do."""


class _Changed(Exception):
    """A table came or went between being listed and being locked."""


def back_up(
    connection: Connection, archive: Writer, progress: Callable[[str, int], None] = lambda *_: None
) -> tuple[Manifest, Contents]:
    """Write a whole backup. The connection is the owner's, in autocommit mode.

    ``progress`` is told the table and how many rows were copied in all. Raises ``CannotBackUp``, ``psycopg.Error``,
    and ``OSError`` of the file.
    """
    for _ in range(TRIES):
        tables = _tables(connection)
        try:
            with connection.transaction():
                manifest = _begin(connection, tables)
                archive.put_manifest(manifest)
                contents = _copy(connection, manifest.tables, archive, progress)
                archive.finish(contents)
                return manifest, contents
        except _Changed:
            continue
    raise CannotBackUp("tables come and go: is the database being migrated? Try again when that is done")


def _tables(connection: Connection) -> list[CopiedTable]:
    return [CopiedTable(*row) for row in connection.execute(TABLES).fetchall()]


def _begin(connection: Connection, tables: list[CopiedTable]) -> Manifest:
    """The moment that is copied. It is after these tables were locked: none is changed or dropped since."""
    if "public.installation" not in {table.full_name for table in tables}:
        raise CannotBackUp("the database was never migrated: there is nothing to back up")
    connection.execute("set transaction isolation level repeatable read, read only")
    connection.execute(SESSION)
    names = sql.SQL(", ").join(sql.Identifier(table.schema, table.name) for table in tables)
    try:
        connection.execute(sql.SQL("lock table {} in access share mode").format(names))
    except psycopg.errors.UndefinedTable:
        raise _Changed from None
    # The first question: what it sees all others see.
    if _tables(connection) != tables:
        raise _Changed
    return _manifest(connection, tables)


def _manifest(connection: Connection, tables: list[CopiedTable]) -> Manifest:
    [(installation,)] = connection.execute("select to_jsonb(i) from installation i").fetchall()
    applied = connection.execute("select number, name, sha256 from schema_migrations order by number")
    return Manifest(
        format=FORMAT,
        made_at=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        postgresql=connection.info.server_version // 10_000,
        report_timezone=installation["report_timezone"],
        rollups=installation.get("rollups", 0),
        migrations=[AppliedMigration(*row) for row in applied.fetchall()],
        tables=tables,
        days=[CopiedDay(*row) for row in connection.execute(DAYS).fetchall()],
        sequences=dict(connection.execute(SEQUENCES).fetchall()),
    )


def _copy(
    connection: Connection, tables: list[CopiedTable], archive: Writer, progress: Callable[[str, int], None]
) -> Contents:
    found: dict[str, Content] = {}
    rows = 0
    for table in tables:
        digest = hashlib.sha256()
        with connection.cursor() as cursor:
            for data in _parts(cursor, table):
                digest.update(data)
                archive.put(Part(table.full_name, data))
                progress(table.full_name, rows)
            found[table.full_name] = Content(max(0, cursor.rowcount), digest.hexdigest())
        rows += found[table.full_name].rows
        progress(table.full_name, rows)
    return Contents(found)


def _parts(cursor: psycopg.Cursor[Any], table: CopiedTable) -> Iterator[bytes]:
    """The rows of a table, some megabytes at a time."""
    statement = sql.SQL("copy {} ({}) to stdout").format(
        sql.Identifier(table.schema, table.name), sql.SQL(", ").join(map(sql.Identifier, table.columns))
    )
    gathered = bytearray()
    with cursor.copy(statement) as copy:
        for row in copy:
            gathered += row
            if len(gathered) >= PART_BYTES:
                yield bytes(gathered)
                gathered.clear()
    if gathered:
        yield bytes(gathered)
