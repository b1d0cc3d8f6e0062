"""What keeps the tables in shape: days closed once no hits come, raw hits dropped after RETENTION_DAYS once the
rollups are proven to say what they say, texts forgotten with them, and numbers and letters that grew old."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from services.database import Connection, load_sql
from services.logs import Logger
from services.metrics import RollupMetrics
from services.retention import first_kept_day
from services.rollup.days import Day, close_days, day_before, kept_days, limit_waiting
from services.rollup.forget import forget_unused
from services.rollup.proof import Proof, is_as_proven, prove
from services.rollups import REFRESH_LOCK

# A group's number is needed for as long as its entry could come again: Redis would have to be away that long.
KEEP_GROUP_NUMBERS = datetime.timedelta(days=14)
KEEP_LAST_NUMBERS = datetime.timedelta(days=400)
_SQL = Path(__file__).with_name("sql")
FORGET_GROUPS = load_sql(_SQL / "forget_groups.sql")
FORGET_MINUTES = load_sql(_SQL / "forget_minutes.sql")
FORGET_RUNS = load_sql(_SQL / "forget_runs.sql")
DAY_IS_HELD = load_sql(_SQL / "day_is_held.sql")
# An import that was killed is run again by then, or its days are sealed as they are.
IMPORT_HOLDS = datetime.timedelta(days=1)
# 43,200 rows: nobody asks for the ingest delay of a minute that is longer ago.
KEEP_MINUTES = datetime.timedelta(days=30)
# What an enricher took for a hit in time, just before midnight or by a clock of its own, is stored by then.
GRACE = datetime.timedelta(hours=1)


def tidy(connection: Connection, retention_days: int, metrics: RollupMetrics, log: Logger) -> None:
    """Close days, drop expired ones, forget what only they had. May take minutes. Raises ``psycopg.Error``."""
    closed = close_days(connection)
    metrics.days_closed.inc(len(closed))
    kept: list[Proof] = []
    dropped = drop_expired(connection, retention_days, kept.append)
    metrics.days_not_proven.set(len(kept))
    for proof in kept:
        log.error(
            "day-not-proven", day=str(proof.day), differing=list(proof.differing), what_to_do=proof.what_to_do
        )
    forgotten = forget_unused(connection, first_day_to_keep(connection, retention_days))
    for name, rows in forgotten.items():
        metrics.rows_forgotten.labels(name).inc(rows)
    if closed or dropped or any(forgotten.values()):
        log.info("tidied", days_closed=len(closed), partitions_dropped=dropped, rows_forgotten=forgotten)


def first_day_to_keep(connection: Connection, retention_days: int) -> datetime.date:
    """The day before which raw hits go, and what only they have."""
    return first_kept_day(day_before(connection, GRACE), retention_days)


def drop_expired(
    connection: Connection, retention_days: int, keep: Callable[[Proof], None] = lambda proof: None
) -> list[str]:
    """Drop the raw hits of the days whose time is over; the names of their partitions. Rollups stay.

    Each day is proven first; ``keep`` is told of those that cannot be, and they stay. A day of which something is
    still to be counted, that got a hit meanwhile, that an import holds open, or whose lock is not had, is left for
    the next time. Raises ``psycopg.Error``.
    """
    first_kept = first_day_to_keep(connection, retention_days)
    dropped = []
    for day in kept_days(connection):
        if day.day >= first_kept or day.is_waiting:
            continue
        proof, is_sealed = seal(connection, day)
        if is_sealed:
            dropped.append(day.partition)
        elif not (proof.is_proven or proof.is_waiting):
            keep(proof)
    return dropped


def seal(connection: Connection, day: Day, of_import: uuid.UUID | None = None) -> tuple[Proof, bool]:
    """Drop the raw hits of a day if it is proven and no import but this one holds it; what was found, and whether.

    Raises ``psycopg.Error``.
    """
    if _is_held(connection, day.day, of_import):
        return Proof(day.day, 0, is_waiting=True), False
    proof = prove(connection, day.day)
    return proof, proof.is_proven and _drop(connection, day.partition, proof, of_import)


def _is_held(connection: Connection, day: datetime.date, of_import: uuid.UUID | None) -> bool:
    parameters = {"day": day, "holds": IMPORT_HOLDS, "of_import": of_import}
    with connection.transaction():
        row = connection.execute(DAY_IS_HELD, parameters).fetchone()
    return bool(row and row[0])


def _drop(connection: Connection, partition: str, proof: Proof, of_import: uuid.UUID | None) -> bool:
    """Whether the day is gone."""
    table = sql.Identifier("hits_days", partition)
    try:
        with connection.transaction():
            # Not the snapshot of before the locks were had.
            connection.execute("set transaction isolation level read committed")
            limit_waiting(connection)
            # A rebuild that has seen the day's hits is done, one that comes sees that they are gone.
            connection.execute("select pg_advisory_xact_lock(%s)", [REFRESH_LOCK])
            # No import opens a day meanwhile, and an enricher that stores hits of this one is done.
            connection.execute("lock table imports in share row exclusive mode")
            if _is_held(connection, proof.day, of_import):
                return False
            connection.execute("select from imports where %s = any(days) for update", [proof.day])
            # In the order in which whoever stores or reads hits takes them.
            connection.execute("lock table only stored_hits in access exclusive mode")
            connection.execute(sql.SQL("lock table {} in access exclusive mode").format(table))
            if not is_as_proven(connection, proof):
                return False
            connection.execute(sql.SQL("alter table stored_hits detach partition {}").format(table))
            connection.execute(sql.SQL("drop table {}").format(table))
            connection.execute(
                "update imports set days = array_remove(days, %(day)s) where %(day)s = any(days)",
                {"day": proof.day},
            )
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return False
    return True


def forget_old_groups(connection: Connection) -> int:
    """Delete the numbers of groups that cannot come again; how many.

    The last one of each run of a pixel is kept for longer: by it the next number is known not to be the first.
    """
    with connection.transaction():
        cursor = connection.execute(
            FORGET_GROUPS, {"keep": KEEP_GROUP_NUMBERS, "keep_last": KEEP_LAST_NUMBERS}
        )
        return cursor.rowcount


def forget_old_facts(connection: Connection, retention_days: int) -> int:
    """Delete what is known of the pipeline's minutes, pixels' runs and late hits and grew old; how many rows."""
    keep = datetime.timedelta(days=retention_days)
    with connection.transaction():
        minutes = connection.execute(FORGET_MINUTES, {"keep": min(keep, KEEP_MINUTES)}).rowcount
        runs = connection.execute(FORGET_RUNS, {"keep": keep}).rowcount
        late = connection.execute("delete from late_hits where hour_starts_at < now() - %s", [keep]).rowcount
        # An import that nobody finished: its key is long gone.
        imports = connection.execute(
            "delete from imports where began_at < now() - %s", [KEEP_GROUP_NUMBERS]
        ).rowcount
    return minutes + runs + late + imports


def empty_old_letters(connection: Connection, retention_days: int) -> int:
    """Empty the dead letters that are older than raw hits may be; how many. Their number stays, for the ledger."""
    with connection.transaction():
        cursor = connection.execute(
            "update dead_letters set hit = null, error = null"
            " where buried_at < now() - make_interval(days => %s) and (hit is not null or error is not null)",
            [retention_days],
        )
        return cursor.rowcount
