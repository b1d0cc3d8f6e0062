"""Jobs that are slow, on real servers: beside the refresh, one at a time, cut off at any point, bounded."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import redis
import rq
from rq.registry import FailedJobRegistry

from services.database import connect
from services.enricher.store import Store
from services.metrics import RollupMetrics
from services.rollup import jobs, parts
from services.rollup.parts import Parts, connect_to_slow
from services.rollup.runs import ASK_AGAIN_S, Runs
from services.rollup.workers import ThreadWorker, queue_of
from services.settings import Settings
from tests.conftest import Database
from tests.make import Log
from tests.services.rollup.definition import differences
from tests.services.rollup.test_jobs import ends, in_a_row, put_until_counted, row_of, running
from tools.servers import free_port, poll

pytestmark = pytest.mark.servers


@contextlib.contextmanager
def slow_upkeep(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """Upkeep lasts as long as the body: it waits for a table that this connection has."""
    with database.connect() as other, other.transaction():
        other.execute("lock table dead_letters in access exclusive mode")
        yield other


def slow_jobs(eye: psycopg.Connection[Any]) -> int:
    """Connections that are within the statement of upkeep that waits."""
    row = eye.execute(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        " and application_name = 'footfall rollup' and query like 'update dead_letters%'"
    ).fetchone()
    assert row
    return int(row[0])


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with connect(settings, "enricher") as writer:
        yield Store(writer)


@pytest.fixture
def eye(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect() as made:
        yield made


def test_hits_are_in_the_view_within_2_s_while_a_slow_job_runs(
    database: Database, settings: Settings, store: Store, eye: psycopg.Connection[Any]
) -> None:
    delays: list[float] = []
    with running(settings) as worker:
        with slow_upkeep(database):
            assert poll(lambda: slow_jobs(eye) == 1, 20)
            until_s = time.monotonic() + 10
            while time.monotonic() < until_s:
                delays.append(put_until_counted(database, store, len(delays) + 1, 5))
            assert slow_jobs(eye) == 1
            assert worker.metric(ends("upkeep", "done")) == 0
        assert poll(lambda: worker.metric(ends("upkeep", "done")) == 1, 5)
    print("seconds to the view, longest of", len(delays), round(max(delays), 2))
    assert len(delays) > 10
    assert max(delays) < 2, delays
    assert differences(eye) == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_ends_within_a_slow_job_leaves_nothing_behind_and_the_job_comes_again(
    number: int, database: Database, settings: Settings, eye: psycopg.Connection[Any]
) -> None:
    with running(settings) as worker:
        with slow_upkeep(database):
            assert poll(lambda: slow_jobs(eye) == 1, 20)
            began_s = time.monotonic()
            status = worker.stop(number)
            assert time.monotonic() - began_s < 2.5
            assert status == (0 if number == signal.SIGTERM else -number)
            assert poll(lambda: slow_jobs(eye) == 0, 5), "PostgreSQL does not go on with it"
            worker.start()
            assert poll(lambda: slow_jobs(eye) == 1, 20), "though Redis says that it has begun"
        assert poll(lambda: worker.metric(ends("upkeep", "done")) == 1, 5)
        assert worker.metric(ends("upkeep", "failed")) == 0


def test_slow_jobs_of_a_process_run_one_after_another(
    database: Database, settings: Settings, store: Store, eye: psycopg.Connection[Any]
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/database.mmdb"
    with running(settings, COUNTRY_REFRESH="on", COUNTRY_DATABASE_URL=nobody) as worker:
        with slow_upkeep(database):
            assert poll(lambda: slow_jobs(eye) == 1, 20)
            until_s, number = time.monotonic() + 2 * ASK_AGAIN_S, 0
            while time.monotonic() < until_s:
                number += 1
                put_until_counted(database, store, number, 5)
            assert worker.metric('footfall_rollup_job_seconds_count{job="country"}') == 0
        assert poll(lambda: worker.metric(in_a_row("country")) == 1, 10)
        assert poll(lambda: row_of(database, "country")["last_error"] == "NotFetched", 5)
        assert worker.metric(ends("upkeep", "done")) == 1


def test_a_slow_job_waits_for_that_of_a_process_that_does_not_work_any_more(
    database: Database, settings: Settings, eye: psycopg.Connection[Any]
) -> None:
    schedules = "select pid from pg_stat_activity where application_name = 'footfall schedule'"
    with running(settings) as first, slow_upkeep(database):
        assert poll(lambda: slow_jobs(eye) == 1, 20)
        first.process.send_signal(signal.SIGSTOP)
        eye.execute(f"select pg_terminate_backend(pid) from ({schedules}) as s")
        with running(settings) as second:
            assert poll(lambda: second.metric(in_a_row("upkeep")) >= 2, 20)
            assert slow_jobs(eye) == 1
            assert row_of(database, "upkeep")["last_error"] == "LockNotHadError"
            first.process.send_signal(signal.SIGCONT)
            eye.execute(
                "select pg_cancel_backend(pid) from pg_stat_activity where wait_event_type = 'Lock'"
                " and application_name = 'footfall rollup'"
            )
            assert poll(lambda: first.metric(ends("upkeep", "failed")) == 1, 10)
            assert poll(lambda: slow_jobs(eye) == 1, 10), "now the other one's"


def test_the_worker_of_slow_jobs_goes_on_after_redis_cut_its_connections_and_was_emptied(
    settings: Settings, eye: psycopg.Connection[Any]
) -> None:
    client: Any = redis.Redis.from_url(settings.redis_url)
    eye.execute("alter table stream_groups rename to mislaid")
    try:
        with running(settings) as worker:
            assert poll(lambda: worker.metric(in_a_row("upkeep")) >= 1, 20)
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub", skipme=True)
            client.flushall()
            assert poll(lambda: worker.metric(in_a_row("upkeep")) >= 3, 20)
            eye.execute("alter table mislaid rename to stream_groups")
            assert poll(lambda: worker.metric(ends("upkeep", "done")) == 1, 20)
            assert worker.process.poll() is None
    finally:
        eye.execute("alter table if exists mislaid rename to stream_groups")


# How long a slow job may last ---------------------------------------------------------------------------------------


def test_a_statement_of_a_slow_job_is_ended_by_postgresql(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "SLOW_WITHIN_S", 1)
    runs = Runs({job.name: job.when for job in jobs.JOBS})
    made = Parts(settings, connect_to_slow, runs, RollupMetrics(), Log())  # type: ignore[arg-type]
    jobs.use({jobs.UPKEEP_QUEUE: made})
    try:
        with slow_upkeep(database), pytest.raises(psycopg.errors.QueryCanceled):
            jobs.run("upkeep")
        assert made.connection
        assert made.connection.closed
        jobs.run("upkeep")
        assert made.connection.closed, "its lock is free between runs"
    finally:
        jobs._Holder.parts = None


def spin(seconds: float) -> None:
    """Work that never waits."""
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        pass


def test_a_worker_in_a_thread_ends_a_job_that_lasts_and_takes_the_next(settings: Settings) -> None:
    client: Any = redis.Redis.from_url(settings.redis_url)
    queue: rq.Queue = queue_of(jobs.UPKEEP_QUEUE, client)
    queue.enqueue(spin, 10, job_id="long", job_timeout=1)
    queue.enqueue(spin, 0, job_id="short", job_timeout=1)
    began_s = time.monotonic()
    thread = threading.Thread(
        target=lambda: ThreadWorker(jobs.UPKEEP_QUEUE, client, lambda: True, Runs({})).work(
            burst=True, logging_level="CRITICAL"
        )
    )
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert 1 <= time.monotonic() - began_s < 5
    long = rq.job.Job.fetch("long", connection=client, serializer=queue.serializer)
    result = long.latest_result()
    assert result
    assert "JobTimeoutException" in str(result.exc_string)
    assert FailedJobRegistry(queue=queue).get_job_ids() == ["long"]
    assert rq.job.Job.fetch("short", connection=client, serializer=queue.serializer).is_finished


def test_a_worker_that_stands_by_takes_no_slow_job(
    database: Database, settings: Settings, eye: psycopg.Connection[Any]
) -> None:
    with running(settings) as first:
        assert poll(lambda: first.metric(ends("upkeep", "done")) == 1, 20)
        with running(settings) as second:
            assert poll(lambda: "standing-by" in second.actions(), 20)
            client: Any = redis.Redis.from_url(settings.redis_url)
            workers = rq.SimpleWorker.all(connection=client)
            assert sorted(worker.queue_names() for worker in workers) == [
                [jobs.REFRESH_QUEUE],
                [jobs.UPKEEP_QUEUE],
            ]
            assert len({worker.pid for worker in workers} - {first.process.pid}) == 0
            first.stop(signal.SIGKILL)
            assert poll(lambda: second.metric(ends("upkeep", "done")) == 1, 20)
