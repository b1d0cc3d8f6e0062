"""Looks at the disk and at the database's size, so that somebody hears of a full disk before it is full."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from services.database import Connection, load_sql

THIN_LOOKS = load_sql(Path(__file__).with_name("sql") / "thin_disk_looks.sql")


class DiskSpace(NamedTuple):
    """Bytes of a disk."""

    free: int
    total: int


def disk_space(directory: Path) -> DiskSpace:
    """Of the disk on which a directory is, or would be made: what is free for who is not root. Raises OSError."""
    there = next(path for path in (directory.absolute(), *directory.absolute().parents) if path.exists())
    status = os.statvfs(there)
    return DiskSpace(status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize)


def note_disk(connection: Connection, space: DiskSpace) -> None:
    """Write down a look, and thin those of before. Raises ``psycopg.Error``."""
    with connection.transaction():
        connection.execute(
            "insert into disk_looks (database_bytes, disk_free_bytes, disk_total_bytes)"
            " values (pg_database_size(current_database()), %s, %s)",
            [space.free, space.total],
        )
        connection.execute(THIN_LOOKS)
