"""A real worker: what is stored is counted within 2 s, by PostgreSQL's word, through failures of either server."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import rq
from rq.serializers import JSONSerializer

from services.database import connect
from services.enricher.store import Store
from services.metrics import RollupMetrics
from services.rollup import jobs
from services.rollup.jobs import REFRESH_QUEUE
from services.rollup.runs import ASK_AGAIN_S, Runs
from services.rollup.schedule import CHANNEL, Schedule
from services.rollup.workers import queue_of
from services.rollups import REFRESH_LOCK
from services.settings import Settings
from tests.conftest import Database
from tests.make import Log, make_hit
from tests.services.rollup.definition import differences, put
from tools.servers import free_port, poll, spawn

pytestmark = pytest.mark.servers
ROOT = Path(__file__).resolve().parents[3]


UPKEEP_DONE = 'footfall_rollup_jobs_total{end="done",job="upkeep"}'


class Worker:
    """``python -m services.rollup`` on the test's database."""

    def __init__(self, settings: Settings, **environ: str) -> None:
        self.log = settings.data_dir / "rollup.log"
        self._metrics_port = free_port()
        self._environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "DATA_DIR": str(settings.data_dir),
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "PYTHONPATH": str(ROOT),
            "METRICS_PORT": str(self._metrics_port),
            **environ,
        }
        self.start()

    def start(self) -> None:
        self.process = spawn([sys.executable, "-m", "services.rollup"], environ=self._environ, log=self.log)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def actions(self) -> list[str]:
        return [line["action"] for line in self.lines()]

    def metric(self, name: str) -> float:
        """The value of a metric, with its labels; 0 until there is one."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=5
            ) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0
        return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} ")), 0)

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@pytest.fixture
def worker(settings: Settings) -> Iterator[Worker]:
    made = Worker(settings)
    yield made
    if made.process.poll() is None:
        made.stop(signal.SIGKILL)


def pageviews(database: Database) -> int:
    with database.connect() as eye:
        row = eye.execute("select coalesce(sum(pageviews), 0)::int from daily_traffic").fetchone()
    assert row
    return int(row[0])


def seconds_to_count(database: Database, store: Store, expected: int) -> float:
    """How long a hit takes from its commit into the view."""
    put(store, make_hit())
    started = time.monotonic()
    assert poll(lambda: pageviews(database) == expected, 15, 0.01)
    return time.monotonic() - started


def test_a_stored_hit_is_in_the_view_within_2_s(
    database: Database, settings: Settings, worker: Worker
) -> None:
    with connect(settings, "enricher") as writer:
        store = Store(writer)
        put(store, make_hit())  # before the worker is up: nobody heard of it
        assert poll(lambda: pageviews(database) == 1, 20)
        times = [seconds_to_count(database, store, number) for number in range(2, 12)]
    assert max(times) < 2, times
    with database.connect() as eye:
        assert differences(eye) == {}
        assert eye.execute("select count(*) from rollup_pending").fetchone() == (0,)
    assert worker.stop() == 0
    assert [line["action"] for line in worker.lines()][-1] == "stopped"
    assert not [line for line in worker.lines() if line["level"] in ("error", "critical")]


def test_a_hit_stored_while_somebody_else_changes_rollups_is_in_the_view_within_2_s(
    database: Database, settings: Settings, worker: Worker
) -> None:
    with connect(settings, "enricher") as writer, database.connect() as other:
        store = Store(writer)
        put(store, make_hit())
        assert poll(lambda: pageviews(database) == 1, 20)
        for number in range(2, 5):
            other.execute("select pg_advisory_lock(%s)", [REFRESH_LOCK])  # a batch of `make renormalise`
            began = time.monotonic()
            put(store, make_hit())
            time.sleep(0.7)
            other.execute("select pg_advisory_unlock(%s)", [REFRESH_LOCK])
            assert poll(lambda number=number: pageviews(database) == number, 20)
            assert time.monotonic() - began < 2


def test_a_worker_goes_on_after_its_connections_were_cut_and_after_it_was_killed(
    database: Database, settings: Settings, worker: Worker
) -> None:
    client: Any = redis.Redis.from_url(settings.redis_url)
    with connect(settings, "enricher") as writer, database.connect() as eye:
        store = Store(writer)
        put(store, make_hit())
        assert poll(lambda: pageviews(database) == 1, 20)
        eye.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
            " and application_name in ('footfall rollup', 'footfall schedule')"
        )
        client.client_kill_filter(_type="normal", skipme=True)
        put(store, make_hit())
        assert poll(lambda: pageviews(database) == 2, 20)
        worker.stop(signal.SIGKILL)
        put(store, make_hit())
        worker.start()
        assert poll(lambda: pageviews(database) == 3, 20)
        assert differences(eye) == {}


def test_sessions_are_counted_and_days_closed_by_the_worker(
    database: Database, settings: Settings, worker: Worker
) -> None:
    day = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=5)
    with connect(settings, "enricher") as writer, database.connect() as eye:
        assert poll(lambda: "upkeep" in worker.actions() or worker.metric(UPKEEP_DONE) > 0, 20)
        put(Store(writer), make_hit(day=day, session_id=make_hit().hit_id))
        assert poll(lambda: pageviews(database) == 1, 20)
        worker.stop(signal.SIGKILL)
        worker.start()  # counts at its start, and keeps house
        assert poll(lambda: eye.execute("select sessions from daily_sessions").fetchall() == [(1,)], 20)
        closed = "select not hits_day_is_open(%s)"
        assert poll(lambda: eye.execute(closed, [day]).fetchone() == (True,), 20)
    assert poll(lambda: worker.metric("footfall_rollup_days_closed_total") == 1, 10)
    assert worker.metric("footfall_rollup_sessions_seconds_count") >= 1
    assert not [line for line in worker.lines() if line["level"] in ("error", "critical")]


def test_upkeep_runs_at_the_start(database: Database, settings: Settings, worker: Worker) -> None:
    with database.connect() as eye:
        for (name,) in eye.execute(
            "select relname from pg_class where relnamespace = 'hits_days'::regnamespace and relkind = 'r'"
        ).fetchall():
            eye.execute(f"drop table hits_days.{name}")
        sql = "select count(*) from pg_inherits where inhparent = 'stored_hits'::regclass"
        assert poll(lambda: eye.execute(sql).fetchone() == (9,), 20)


# The schedule alone -------------------------------------------------------------------------------------------------


class Parts:
    """A schedule that is asked by hand, and what it works with."""

    def __init__(self, settings: Settings) -> None:
        self.client: Any = redis.Redis.from_url(settings.redis_url)
        self.queue = queue_of(REFRESH_QUEUE, self.client)
        self.runs = Runs({job.name: job.when for job in jobs.JOBS})
        self.schedule = Schedule(
            lambda: connect(settings, "schedule", autocommit=True),
            dict.fromkeys(self.runs.names, self.queue),
            self.runs,
            RollupMetrics(),
            Log(),  # type: ignore[arg-type]
        )


@pytest.fixture
def alone(settings: Settings) -> Parts:
    return Parts(settings)


def test_a_job_is_in_redis_once(alone: Parts) -> None:
    alone.runs.started("upkeep", 0)  # their worker is busy
    assert alone.schedule.enqueue("refresh")
    assert not alone.schedule.enqueue("refresh")
    assert alone.queue.job_ids == ["refresh"]
    assert alone.schedule.enqueue("country")
    assert alone.queue.job_ids == ["refresh", "country"]


def test_a_job_that_another_process_left_behind_is_enqueued_anew(alone: Parts) -> None:
    assert alone.schedule.enqueue("refresh")
    worker = rq.SimpleWorker([alone.queue], connection=alone.client, serializer=JSONSerializer)
    (job,) = alone.queue.jobs
    alone.client.lmove(alone.queue.key, alone.queue.intermediate_queue_key)
    worker.prepare_job_execution(job)  # and killed
    worker.prepare_execution(job)
    assert alone.client.ttl("rq:job:refresh") == -1, "RQ keeps it until it says that it ended"
    started = rq.registry.StartedJobRegistry(queue=alone.queue)
    assert started.get_job_ids() == ["refresh"]
    assert alone.schedule.enqueue("refresh")
    assert alone.queue.job_ids == ["refresh"]
    assert started.get_job_ids() == []
    assert not alone.client.exists(alone.queue.intermediate_queue_key)


def test_what_is_due_is_asked_for_again_when_redis_was_emptied(alone: Parts) -> None:
    alone.schedule.ask(0)
    assert alone.queue.job_ids == ["refresh", "upkeep", "sessions", "disk", "posts", "country"]
    alone.client.flushall()
    alone.schedule.ask(ASK_AGAIN_S - 0.1)
    assert alone.queue.job_ids == []
    alone.schedule.ask(ASK_AGAIN_S)
    assert alone.queue.job_ids == ["refresh", "upkeep", "sessions", "disk", "posts", "country"]


def test_every_job_is_found_by_a_worker(alone: Parts) -> None:
    for name in jobs.JOBS_BY_NAME:
        alone.queue.empty()
        alone.schedule.enqueue(name)
        (job,) = alone.queue.jobs
        assert (job.id, job.func, job.args) == (name, jobs.run, [name])


def test_jobs_run_in_the_rollup_s_own_workers_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs._Holder, "parts", None)
    with pytest.raises(RuntimeError, match=r"python -m services\.rollup"):
        jobs.run("refresh")


def test_storing_tells_the_schedule(settings: Settings) -> None:
    with connect(settings, "schedule", autocommit=True) as ear, connect(settings, "enricher") as writer:
        ear.execute(f"listen {CHANNEL}")
        put(Store(writer), make_hit())
        assert [note.channel for note in ear.notifies(timeout=5, stop_after=1)] == [CHANNEL]
