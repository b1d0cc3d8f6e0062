"""Counts stored hits into the rollups, exactly once, in any order.

The enricher leaves a row in ``rollup_pending`` for each batch that it stores, in the same transaction. A refresh
takes such rows, adds what their hits change to every rollup and deletes them, in one transaction: there is no
watermark that a slow commit could slip behind, and a crash at any statement leaves the row for the next refresh.

One refresh runs at a time (an advisory lock that ends with its connection) on one snapshot (repeatable read), so
that "earlier" means the same to each rollup.
"""

from __future__ import annotations

import datetime

from psycopg import IsolationLevel

from services.database import Connection
from services.rollup import add
from services.rollups import REFRESH_LOCK, ROLLUPS_VERSION

# Hits in one transaction: 20,000 take about 0.5 s and 20 MB; more of a backlog goes in further ones.
MAX_HITS = 20_000

# Which rollups this version knows (a trigger refuses less). And rows are few beside the tables that they are joined
# with by number, which the planner does not know of tables that grew since they were analysed.
_TO_TOUCH = """
    select set_config('footfall.rollups', %s, true), set_config('enable_seqscan', 'off', true),
           set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
"""
# The temporary tables have as many rows on both sides, and are planned for before it is known how many: what loops or
# sorts would be right for a few.
_TO_COUNT = """
    select set_config('enable_seqscan', 'on', true), set_config('enable_hashjoin', 'on', true),
           set_config('enable_nestloop', 'off', true), set_config('enable_sort', 'off', true),
           set_config('work_mem', '32MB', true), set_config('plan_cache_mode', 'force_generic_plan', true)
"""

Pending = list[tuple[int, datetime.date, int]]


def choose(pending: Pending, max_hits: int) -> tuple[list[int], list[datetime.date], int]:
    """Whole batches from the front, at least one: their ids, their days, their hits.

    ``pending`` has (batch_id, day, hits) in the order of batch_id.
    """
    batches: list[int] = []
    days: set[datetime.date] = set()
    total = 0
    for batch_id, day, hits in pending:
        if batches and batch_id != batches[-1] and total + hits > max_hits:
            break
        if not batches or batch_id != batches[-1]:
            batches.append(batch_id)
        days.add(day)
        total += hits
    return batches, sorted(days), total


def prepare(connection: Connection) -> None:
    """Once for each connection: the temporary table, and one snapshot for each transaction."""
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        connection.execute("set local client_min_messages = warning")
        connection.execute(add.MAKE_TOUCHED)


def refresh(connection: Connection, max_hits: int = MAX_HITS, crowd: int = add.CROWD) -> int | None:
    """Count waiting hits; how many, 0 when none wait; None while another process changes rollups.

    ``crowd`` changes what it costs, never what is counted. The connection must have gone through ``prepare``. Raises
    ``psycopg.Error``; nothing is counted then.
    """
    with connection.transaction():
        row = connection.execute("select pg_try_advisory_lock(%s)", [REFRESH_LOCK]).fetchone()
    if not row or not row[0]:
        return None
    try:
        # The lock is held before the snapshot is taken: what another refresh counted is seen as counted.
        with connection.transaction():
            return _refresh(connection, max_hits, crowd)
    finally:
        if not connection.closed:
            with connection.transaction():
                connection.execute("select pg_advisory_unlock(%s)", [REFRESH_LOCK])


def _refresh(connection: Connection, max_hits: int, crowd: int) -> int:
    pending: Pending = connection.execute(
        "select batch_id, day, hits from rollup_pending order by batch_id, site, day"
    ).fetchall()
    batches, days, hits = choose(pending, max_hits)
    if not batches:
        return 0
    count(connection, batches, days, sorted({row[0] for row in pending}), crowd)
    connection.execute(add.MARK_SESSIONS)
    connection.execute("delete from rollup_pending where batch_id = any(%s)", [batches])
    return hits


def count(
    connection: Connection,
    batches: list[int],
    days: list[datetime.date],
    waiting: list[int],
    crowd: int = add.CROWD,
) -> None:
    """Add what batches change to each rollup, in the caller's transaction.

    ``waiting``: all batches that are not counted yet, these included. Raises ``psycopg.Error``.
    """
    connection.execute(_TO_TOUCH, [str(ROLLUPS_VERSION)])
    connection.execute(add.TOUCH_NEW, {"days": days, "batches": batches})
    connection.execute(add.TOUCH_EARLIER, {"days": days, "waiting": waiting})
    connection.execute(_TO_COUNT)
    connection.execute(add.ADD, {"crowd": crowd})
    connection.execute(add.TITLES)  # the last: it locks rows that others may want


def oldest_pending_age_s(connection: Connection) -> float:
    """Age of the oldest batch that waits; 0: none does."""
    row = connection.execute(
        "select coalesce(extract(epoch from clock_timestamp() - min(stored_at)), 0) from rollup_pending"
    ).fetchone()
    return float(row[0]) if row else 0.0
