"""The jobs that RQ runs: one list, and the one function that a worker calls by its name.

RQ calls functions by their import path and hands them no parts, so the parts are given to this module once, by
``__main__``, before the workers start.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import psycopg

from services.database import make_partitions
from services.logs import frames_of, place_of
from services.rollup import country, posts, sessions, upkeep
from services.rollup.disk import disk_space, note_disk
from services.rollup.download import NotFetched
from services.rollup.parts import LockNotHadError, Parts
from services.rollup.refresh import MAX_HITS, oldest_pending_age_s, refresh
from services.rollup.runs import SLOW_WITHIN_S, When, apart_s
from services.settings import Settings

# Each has a worker of its own: what may take longer than a second or so is not to hold up the refresh.
REFRESH_QUEUE = "footfall-refresh"
UPKEEP_QUEUE = "footfall-upkeep"

# A refresh that counts so many goes on at once: more may wait, and a longer wait would make none of them cheaper.
BACKLOG_HITS = MAX_HITS // 2
# Then another run goes on, so that steady traffic does not look like a refresh that never ends.
REFRESH_FOR_S = 10.0
LOCKED_PAUSE_S = 0.05
# Without hits too, so that "last done" says whether refreshing works.
REFRESH_EVERY_S = 60.0
UPKEEP_EVERY_S = 3_600.0
# Less often when a count takes long: that is for the job to say.
SESSIONS_EVERY_S = sessions.APART_S
# Of a feed that has not changed it is a question and a short answer.
POSTS_EVERY_S = 900.0
# After a failure too: neither DB-IP nor MaxMind is to be asked more often.
COUNTRY_EVERY_S = 86_400.0
# Fine enough to see what filled a disk in an hour; 2,000 rows a week.
DISK_EVERY_S = 300.0
# What is expected to go wrong: a server away, a lock not had. Anything else is logged with its place.
EXPECTED = (psycopg.OperationalError, NotFetched)


class Job(NamedTuple):
    """A job: its name is its id in RQ, its label in the metrics and its row in the table ``jobs``.

    ``work`` returns whether it left something to do, for the sake of other jobs; what it raises is a failure.
    Jobs of one queue run one after another, so that only a refresh belongs into the refresh's.
    """

    name: str
    work: Callable[[Parts], bool]
    queue: str
    when: When
    wanted: Callable[[Settings], bool] = lambda settings: True


class _Holder:
    parts: Mapping[str, Parts] | None = None


def use(parts: Mapping[str, Parts]) -> None:
    """Give the jobs of this process their parts, those of each queue."""
    _Holder.parts = parts


def run(name: str) -> None:
    """Run a job, timed, counted, logged and remembered. What it raises goes on to RQ, for its own books."""
    if _Holder.parts is None:
        raise RuntimeError("jobs run in the rollup's own workers only: python -m services.rollup")
    job = JOBS_BY_NAME[name]
    parts = _Holder.parts[job.queue]
    began_s = time.monotonic()
    parts.runs.started(name, began_s)
    try:
        more = job.work(parts)
        if not parts.keeps_connection:
            parts.drop_connection()
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
    """Count what is stored and waits, and what is stored meanwhile, until nothing waits any more.

    While hits come they are counted by one job in ten seconds: a job for each refresh took 4 ms more.
    """
    connection = parts.open_connection()
    until_s = time.monotonic() + REFRESH_FOR_S
    while True:
        began_s = time.monotonic()
        hits = refresh(connection)
        parts.metrics.hits.inc(hits or 0)
        if hits == 0 or time.monotonic() > until_s or parts.runs.are_ending:
            break
        _wait_for_more(hits, began_s)
        if hits:
            parts.runs.goes_on("refresh", time.monotonic())
    with connection.transaction():
        age_s = oldest_pending_age_s(connection)
    parts.metrics.pending.set(age_s)
    if hits is None:
        raise LockNotHadError
    return age_s > 0


def _wait_for_more(hits: int | None, began_s: float) -> None:
    if hits is None:  # `make renormalise` writes a batch, or another process counts
        time.sleep(LOCKED_PAUSE_S)
    elif 0 < hits < BACKLOG_HITS:
        time.sleep(max(0.0, began_s + apart_s(hits) - time.monotonic()))


def _keep_up(parts: Parts) -> bool:
    """Partitions ahead, retention."""
    connection = parts.open_connection()
    made = make_partitions(connection)
    forgotten = upkeep.forget_old_groups(connection)
    emptied = upkeep.empty_old_letters(connection, parts.settings.retention_days)
    facts = upkeep.forget_old_facts(connection, parts.settings.retention_days)
    if made or forgotten or emptied or facts:
        parts.log.info(
            "upkeep",
            partitions_made=made,
            groups_forgotten=forgotten,
            dead_letters_emptied=emptied,
            facts_forgotten=facts,
        )
    posts.drop_unnamed(connection, parts.settings.feeds)
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


def _look_at_disk(parts: Parts) -> bool:
    """How much of it is left."""
    note_disk(parts.open_connection(), disk_space(parts.settings.key_dir))
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


def _look_for_posts(parts: Parts) -> bool:
    """What is new in the owner's feeds."""
    posts.look(parts.open_connection(), parts.settings, parts.log)
    return False


# Adding a job is adding an entry; the order is that in which they are asked for.
JOBS = (
    Job("refresh", _refresh, REFRESH_QUEUE, When(REFRESH_EVERY_S, on_hits=True)),
    Job("upkeep", _keep_up, UPKEEP_QUEUE, When(UPKEEP_EVERY_S, SLOW_WITHIN_S)),
    Job("sessions", _count_sessions, UPKEEP_QUEUE, When(SESSIONS_EVERY_S, SLOW_WITHIN_S)),
    Job("disk", _look_at_disk, UPKEEP_QUEUE, When(DISK_EVERY_S)),
    Job(
        "posts",
        _look_for_posts,
        UPKEEP_QUEUE,
        When(POSTS_EVERY_S, SLOW_WITHIN_S),
        lambda settings: bool(settings.feeds),
    ),
    Job(
        "country",
        _refresh_country,
        UPKEEP_QUEUE,
        When(COUNTRY_EVERY_S, backs_off=False),
        lambda settings: settings.country_refresh,
    ),
)
JOBS_BY_NAME = {job.name: job for job in JOBS}
