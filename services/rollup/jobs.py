"""The jobs that RQ runs, by the names under which they are enqueued.

RQ calls functions by their import path and hands them no parts, so the parts are given to this module once, by
``__main__``, before the worker starts.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import psycopg

from services.database import Connection, make_partitions
from services.logs import Logger
from services.metrics import RollupMetrics
from services.rollup import country, sessions, upkeep
from services.rollup.aside import Aside
from services.rollup.download import NotFetched
from services.rollup.refresh import oldest_pending_age_s, prepare, refresh
from services.settings import Settings

# A refresh goes on while there is a backlog, but lets other jobs in.
REFRESH_FOR_S = 10.0
LOCKED_PAUSE_S = 0.05


@dataclass
class Parts:
    """What the jobs work with."""

    settings: Settings
    connect: Callable[[], Connection]
    metrics: RollupMetrics
    log: Logger
    connection: Connection | None = field(default=None, init=False)
    pace: sessions.Pace = field(default_factory=sessions.Pace, init=False)
    counting: Aside = field(init=False)
    tidying: Aside = field(init=False)

    def __post_init__(self) -> None:
        self.counting, self.tidying = Aside(self.connect), Aside(self.connect)

    def open_connection(self) -> Connection:
        """The worker's own connection, made anew after a failure."""
        if self.connection is None or self.connection.closed:
            self.connection = self.connect()
            prepare(self.connection)
        return self.connection


class _Holder:
    parts: Parts | None = None


def use(parts: Parts) -> None:
    """Give the jobs of this process their parts."""
    _Holder.parts = parts


def _run(name: str, work: Callable[[Parts], None]) -> None:
    """Run a job, timed and counted; what fails is logged here, and RQ keeps it among the failed."""
    parts = _Holder.parts
    if parts is None:
        raise RuntimeError("jobs run in the rollup's own worker only: python -m services.rollup")
    started = time.monotonic()
    end = "failed"
    try:
        work(parts)
        end = "done"
    except psycopg.OperationalError as error:
        # Server away, or a lock not had: the schedule comes again.
        parts.log.warning("job-failed", job=name, error=type(error).__name__)
        if parts.connection is not None:
            parts.connection.close()
        raise
    finally:
        parts.metrics.jobs.labels(name, end).inc()
        parts.metrics.job_seconds.labels(name).observe(time.monotonic() - started)


def _refresh(parts: Parts) -> None:
    connection = parts.open_connection()
    until = time.monotonic() + REFRESH_FOR_S
    while time.monotonic() < until:
        hits = refresh(connection)
        if hits is None:  # `make renormalise` writes a batch, or another worker counts
            time.sleep(LOCKED_PAUSE_S)
            continue
        if not hits:
            break
        parts.metrics.hits.inc(hits)
    with connection.transaction():
        parts.metrics.pending.set(oldest_pending_age_s(connection))


def _keep_up(parts: Parts) -> None:
    connection = parts.open_connection()
    made = make_partitions(connection)
    forgotten = upkeep.forget_old_groups(connection)
    emptied = upkeep.empty_old_letters(connection, parts.settings.retention_days)
    if made or forgotten or emptied:
        parts.log.info(
            "upkeep",
            partitions_made=made,
            groups_forgotten=forgotten,
            dead_letters_emptied=emptied,
        )
    parts.tidying.run(
        lambda aside: upkeep.tidy(aside, parts.settings.retention_days, parts.metrics, parts.log)
    )


def _count_sessions(parts: Parts) -> None:
    connection = parts.open_connection()
    with connection.transaction():
        parts.metrics.sessions_pending.set(sessions.oldest_mark_age_s(connection))
    if parts.pace.is_due(time.monotonic()):
        parts.counting.run(lambda aside: parts.pace.count(aside, parts.metrics))


def _refresh_country(parts: Parts) -> None:
    end = "failed"
    place = country.place_of(parts.settings)
    try:
        if country.refresh(parts.settings, datetime.datetime.now(datetime.UTC)):
            parts.log.info("country-database-refreshed", place=place)
        end = "done"
    except NotFetched as error:
        parts.log.error(
            "country-database-not-refreshed", place=place, problem=error.problem, what_to_do=error.what_to_do
        )
        raise
    finally:
        parts.metrics.country_refresh.labels(end).set_to_current_time()


def refresh_rollups() -> None:
    """Count what is stored and waits."""
    _run("refresh", _refresh)


def keep_up() -> None:
    """Partitions ahead, retention."""
    _run("upkeep", _keep_up)


def count_sessions() -> None:
    """Sessions, entry and exit pages of the days that changed."""
    _run("sessions", _count_sessions)


def refresh_country() -> None:
    """A newer country database, if there is one."""
    _run("country", _refresh_country)
