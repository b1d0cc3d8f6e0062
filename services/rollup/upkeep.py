"""What keeps the tables in shape: raw hits dropped after RETENTION_DAYS, and numbers and letters that grew old."""

from __future__ import annotations

import datetime

from psycopg import sql

from services.database import Connection
from services.retention import first_kept_day

# A group's number is needed for as long as its entry could come again: Redis would have to be away that long.
KEEP_GROUP_NUMBERS = datetime.timedelta(days=14)
# Detaching needs a lock that a long question of an analyst holds off: then the next hour will do.
LOCK_TIMEOUT_MS = 3_000


def expired_partitions(connection: Connection, retention_days: int) -> list[str]:
    """Partitions whose day is sealed and that no rollup waits for."""
    # The date in the reporting time zone, by the clock of the server.
    [(today,)] = connection.execute(
        "select (now() at time zone report_timezone)::date from installation"
    ).fetchall()
    rows = connection.execute(
        """
        select c.relname
        from pg_inherits p
        join pg_class c on c.oid = p.inhrelid
        where p.inhparent = 'stored_hits'::regclass
          and to_date(substr(c.relname, 2), 'YYYYMMDD') < %s
          and not exists (
              select from rollup_pending w where w.day = to_date(substr(c.relname, 2), 'YYYYMMDD')
          )
        order by 1
        """,
        [first_kept_day(today, retention_days)],
    ).fetchall()
    return [row[0] for row in rows]


def drop_expired(connection: Connection, retention_days: int) -> list[str]:
    """Drop the days of raw hits whose time is over; their names. Rollups stay. Raises ``psycopg.Error``."""
    with connection.transaction():
        expired = expired_partitions(connection, retention_days)
    for name in expired:
        with connection.transaction():
            connection.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(LOCK_TIMEOUT_MS)))
            table = sql.Identifier("hits_days", name)
            connection.execute(sql.SQL("alter table stored_hits detach partition {}").format(table))
            connection.execute(sql.SQL("drop table {}").format(table))
    return expired


def forget_old_groups(connection: Connection) -> int:
    """Delete the numbers of groups that cannot come again; how many."""
    with connection.transaction():
        cursor = connection.execute(
            "delete from stream_groups where processed_at < now() - %s", [KEEP_GROUP_NUMBERS]
        )
        return cursor.rowcount


def empty_old_letters(connection: Connection, retention_days: int) -> int:
    """Empty the dead letters that are older than raw hits may be; how many. Their number stays, for the ledger."""
    with connection.transaction():
        cursor = connection.execute(
            "update dead_letters set hit = null, error = null"
            " where buried_at < now() - make_interval(days => %s) and (hit is not null or error is not null)",
            [retention_days],
        )
        return cursor.rowcount
