"""The jobs that RQ runs: one list, and the one function that a worker calls by its name.

RQ calls functions by their import path and hands them no parts, so the parts are given to this module once, by
``__main__``, before the worker starts.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import psycopg

from services.database import Connection, let_server_notice, make_partitions
from services.logs import Logger, frames_of, place_of
from services.metrics import RollupMetrics
from services.rollup import country, sessions, upkeep
from services.rollup.download import NotFetched
from services.rollup.refresh import oldest_pending_age_s, prepare, refresh
from services.rollup.runs import Runs, When
from services.settings import Settings

# A worker empties the first queue before it looks into the next one.
REFRESH_QUEUE = "footfall-refresh"
UPKEEP_QUEUE = "footfall-upkeep"
QUEUES = (REFRESH_QUEUE, UPKEEP_QUEUE)

# A refresh goes on while there is a backlog, but lets other jobs in.
REFRESH_FOR_S = 10.0
LOCKED_PAUSE_S = 0.05
# Without hits too, so that "last done" says whether refreshing works.
REFRESH_EVERY_S = 60.0
UPKEEP_EVERY_S = 3_600.0
# Whether it is time to count is for the job to say.
SESSIONS_EVERY_S = 10.0
# After a failure too: neither DB-IP nor MaxMind is to be asked more often.
COUNTRY_EVERY_S = 86_400.0
# What is expected to go wrong: a server away, a lock not had. Anything else is logged with its place.
EXPECTED = (psycopg.OperationalError, NotFetched)


class LockNotHadError(psycopg.OperationalError):
    """Somebody else held the lock on the rollups for as long as a refresh may take."""


@dataclass
class Parts:
    """What the jobs work with."""

    settings: Settings
    connect: Callable[[], Connection]
    runs: Runs
    metrics: RollupMetrics
    log: Logger
    connection: Connection | None = field(default=None, init=False)
    pace: sessions.Pace = field(default_factory=sessions.Pace, init=False)

    def open_connection(self) -> Connection:
        """The worker's own connection, made anew after a failure."""
        if self.connection is None or self.connection.closed:
            self.connection = self.connect()
            let_server_notice(self.connection)
            prepare(self.connection)
        return self.connection

    def drop_connection(self) -> None:
        """After a failure: whatever state it is in, its locks and what it was doing end with it."""
        if self.connection is not None and not self.connection.closed:
            self.connection.close()


class Job(NamedTuple):
    """A job: its name is its id in RQ, its label in the metrics and its row in the table ``jobs``.

    ``work`` returns whether it left something to do, for the sake of other jobs; what it raises is a failure.
    A run ends after 60 s, and while it lasts no refresh begins.
    """

    name: str
    work: Callable[[Parts], bool]
    queue: str
    when: When
    wanted: Callable[[Settings], bool] = lambda settings: True


class _Holder:
    parts: Parts | None = None


def use(parts: Parts) -> None:
    """Give the jobs of this process their parts."""
    _Holder.parts = parts


def run(name: str) -> None:
    """Run a job, timed, counted, logged and remembered. What it raises goes on to RQ, for its own books."""
    parts = _Holder.parts
    if parts is None:
        raise RuntimeError("jobs run in the rollup's own worker only: python -m services.rollup")
    began_s = time.monotonic()
    parts.runs.started(name, began_s)
    try:
        more = JOBS_BY_NAME[name].work(parts)
    except Exception as error:
        parts.drop_connection()
        _failed(parts, name, error)
        raise
    else:
        _done(parts, name, more=more)
    finally:
        parts.metrics.job_seconds.labels(name).observe(time.monotonic() - began_s)


def _done(parts: Parts, name: str, *, more: bool) -> None:
    failures = parts.runs.done(name, time.monotonic(), more=more)
    if failures:
        parts.log.info("job-recovered", job=name, failures_in_a_row=failures)
    parts.metrics.jobs.labels(name, "done").inc()
    parts.metrics.job_done.labels(name).set_to_current_time()
    parts.metrics.job_failures.labels(name).set(0)


def _failed(parts: Parts, name: str, error: Exception) -> None:
    failures, pause_s = parts.runs.failed(name, time.monotonic(), type(error).__name__)
    more = {} if isinstance(error, EXPECTED) else {"place": place_of(error), "path": frames_of(error)}
    parts.log.warning(
        "job-failed", job=name, error=type(error).__name__, failures_in_a_row=failures,
        next_try_s=round(pause_s, 1), **more,
    )  # fmt: skip
    parts.metrics.jobs.labels(name, "failed").inc()
    parts.metrics.job_failures.labels(name).set(failures)


def _refresh(parts: Parts) -> bool:
    """Count what is stored and waits."""
    connection = parts.open_connection()
    until = time.monotonic() + REFRESH_FOR_S
    hits: int | None = None
    while hits != 0 and time.monotonic() < until:
        hits = refresh(connection)
        if hits is None:  # `make renormalise` writes a batch, or another worker counts
            time.sleep(LOCKED_PAUSE_S)
            continue
        parts.metrics.hits.inc(hits)
    with connection.transaction():
        parts.metrics.pending.set(oldest_pending_age_s(connection))
    if hits is None:
        raise LockNotHadError
    return hits > 0


def _keep_up(parts: Parts) -> bool:
    """Partitions ahead, retention."""
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
    upkeep.tidy(connection, parts.settings.retention_days, parts.metrics, parts.log)
    return False


def _count_sessions(parts: Parts) -> bool:
    """Sessions, entry and exit pages of the days that changed."""
    connection = parts.open_connection()
    with connection.transaction():
        parts.metrics.sessions_pending.set(sessions.oldest_mark_age_s(connection))
    if parts.pace.is_due(time.monotonic()):
        parts.pace.count(connection, parts.metrics)
    return False


def _refresh_country(parts: Parts) -> bool:
    """A newer country database, if there is one."""
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
    return False


# Adding a job is adding an entry; the order is that in which they are asked for.
JOBS = (
    Job("refresh", _refresh, REFRESH_QUEUE, When(REFRESH_EVERY_S, on_hits=True)),
    Job("upkeep", _keep_up, UPKEEP_QUEUE, When(UPKEEP_EVERY_S)),
    Job("sessions", _count_sessions, UPKEEP_QUEUE, When(SESSIONS_EVERY_S)),
    Job(
        "country",
        _refresh_country,
        UPKEEP_QUEUE,
        When(COUNTRY_EVERY_S, backs_off=False),
        lambda settings: settings.country_refresh,
    ),
)
JOBS_BY_NAME = {job.name: job for job in JOBS}
