"""Jobs through failures, on real servers: backing off, shown in metrics and table, one process at a time."""

from __future__ import annotations

import contextlib
import datetime
import functools
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
import redis
import rq
from rq.serializers import JSONSerializer

from services.database import Connection, connect, cut_after
from services.enricher.store import Store
from services.metrics import RollupMetrics
from services.rollup import jobs, runs, schedule
from services.rollup.job_table import JobTable
from services.rollup.parts import LockNotHadError, Parts, connect_to_refresh
from services.rollup.refresh import refresh
from services.rollup.runs import ASK_AGAIN_S, Runs, When
from services.rollup.workers import ThreadWorker, queue_of
from services.rollups import REFRESH_LOCK
from services.settings import Settings
from tests.conftest import Database
from tests.make import Log, make_hit, make_settings
from tests.services.conftest import OwnRedis
from tests.services.rollup.definition import differences, put
from tests.services.rollup.test_schedule import Worker, pageviews
from tools.servers import poll

pytestmark = pytest.mark.servers


def in_a_row(job: str) -> str:
    return f'footfall_rollup_job_failures_in_a_row{{job="{job}"}}'


def ends(job: str, end: str) -> str:
    return f'footfall_rollup_jobs_total{{end="{end}",job="{job}"}}'


@contextlib.contextmanager
def running(settings: Settings, **environ: str) -> Iterator[Worker]:
    worker = Worker(settings, **environ)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.stop(signal.SIGKILL)


@pytest.fixture
def worker(settings: Settings) -> Iterator[Worker]:
    with running(settings) as worker:
        yield worker


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with connect(settings, "enricher") as writer:
        yield Store(writer)


def row_of(database: Database, job: str) -> dict[str, Any]:
    with database.connect() as eye:
        cursor = eye.execute("select *, clock_timestamp() as now from jobs where name = %s", [job])
        assert cursor.description
        row = cursor.fetchone()
        return dict(zip([column.name for column in cursor.description], row, strict=True)) if row else {}


def put_until_counted(database: Database, store: Store, expected: int, seconds: float) -> float:
    """Store a hit; the seconds until so many are counted."""
    began_s = time.monotonic()
    put(store, make_hit())
    assert poll(lambda: pageviews(database) == expected, seconds)
    return time.monotonic() - began_s


# Failures ---------------------------------------------------------------------------------------------------------


def test_a_refresh_that_fails_backs_off_is_seen_and_recovers(
    database: Database, store: Store, worker: Worker
) -> None:
    put_until_counted(database, store, 1, 20)
    with database.connect() as eye:
        eye.execute("alter table rollup_pages rename to mislaid")
    began_s, hits = time.monotonic(), 1

    def has_failed_thrice() -> bool:
        nonlocal hits
        put(store, make_hit())
        hits += 1
        return worker.metric(in_a_row("refresh")) >= 3

    assert poll(has_failed_thrice, 20)
    assert time.monotonic() - began_s > 0.8 + 1.6, "hits come all the time; it is tried after 1 and after 2 s"
    assert worker.metric(ends("refresh", "failed")) == 3
    assert poll(lambda: row_of(database, "refresh")["failures_in_a_row"] == 3, 5)
    row = row_of(database, "refresh")
    assert row["last_error"] == "UndefinedTable"
    assert row["last_done_at"] < row["last_failed_at"] < row["next_try_at"]
    assert row["next_try_at"] - row["last_failed_at"] <= datetime.timedelta(seconds=4.1)
    said = [line for line in worker.lines() if line["action"] == "job-failed"]
    assert [line["failures_in_a_row"] for line in said] == [1, 2, 3]
    assert all("jobs.py" in line["place"] or line["path"] for line in said)
    assert "mislaid" not in worker.log.read_text()
    assert "rollup_pages" not in worker.log.read_text(), "an error is logged without its text"

    with database.connect() as eye:
        eye.execute("alter table mislaid rename to rollup_pages")
    assert poll(lambda: pageviews(database) == hits, 10)
    assert poll(lambda: worker.metric(in_a_row("refresh")) == 0, 5)
    assert poll(lambda: row_of(database, "refresh")["failures_in_a_row"] == 0, 5)
    assert row_of(database, "refresh")["last_error"] == "UndefinedTable"
    assert "job-recovered" in worker.actions()
    with database.connect() as eye:
        assert differences(eye) == {}


def test_upkeep_that_fails_does_not_wait_an_hour(database: Database, settings: Settings) -> None:
    with database.connect() as eye:
        eye.execute("alter table stream_groups rename to mislaid")
        with running(settings) as worker:
            assert poll(lambda: worker.metric(in_a_row("upkeep")) >= 2, 20)
            assert worker.metric('footfall_rollup_job_done_timestamp_seconds{job="upkeep"}') == 0
            eye.execute("alter table mislaid rename to stream_groups")
            assert poll(lambda: worker.metric(ends("upkeep", "done")) == 1, 10)
            assert worker.metric(in_a_row("upkeep")) == 0
            assert (
                time.time() - 60
                < worker.metric('footfall_rollup_job_done_timestamp_seconds{job="upkeep"}')
                <= time.time()
            )


def test_a_process_goes_on_counting_the_failures_of_the_one_before(
    database: Database, settings: Settings
) -> None:
    with database.connect() as eye:
        eye.execute(
            "insert into jobs (name, failures_in_a_row, next_try_at)"
            " values ('upkeep', 7, now()), ('former', 1, now())"
        )
        eye.execute("alter table stream_groups rename to mislaid")
        try:
            with running(settings) as worker:
                assert poll(lambda: worker.metric(in_a_row("upkeep")) == 8, 20)
                assert poll(lambda: row_of(database, "upkeep")["failures_in_a_row"] == 8, 5)
                names = eye.execute("select name from jobs order by name").fetchall()
                assert names == [("disk",), ("refresh",), ("sessions",), ("upkeep",)]
        finally:
            eye.execute("alter table mislaid rename to stream_groups")


@pytest.fixture
def parts(settings: Settings) -> Iterator[Parts]:
    """The refresh of a process that this test is itself."""
    made = Parts(
        settings,
        connect_to_refresh,
        Runs({job.name: job.when for job in jobs.JOBS}),
        RollupMetrics(),
        Log(),  # type: ignore[arg-type]
        keeps_connection=True,
    )
    jobs.use({jobs.REFRESH_QUEUE: made})
    yield made
    made.drop_connection()
    jobs._Holder.parts = None


def test_a_lock_that_is_never_had_is_a_failure(
    database: Database, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "REFRESH_FOR_S", 0.2)
    with database.connect() as other:
        other.execute("select pg_advisory_lock(%s)", [REFRESH_LOCK])
        with pytest.raises(LockNotHadError):
            jobs.run("refresh")
    assert poll(lambda: _runs(lambda: jobs.run("refresh")), 10)
    assert parts.runs.due(time.monotonic() + 30) == ["upkeep", "sessions", "disk", "posts", "country"]


def _runs(function: Callable[[], None]) -> bool:
    try:
        function()
    except psycopg.Error:
        return False
    return True


def test_a_run_goes_on_while_there_is_a_backlog_and_another_one_after_it_at_once(
    database: Database, parts: Parts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "refresh", functools.partial(refresh, max_hits=2))
    monkeypatch.setattr(jobs, "BACKLOG_HITS", 2)
    for _ in range(3):
        put(store, make_hit(), make_hit())
    jobs.run("refresh")
    assert pageviews(database) == 6
    assert parts.runs.due(time.monotonic() + 10) == ["upkeep", "sessions", "disk", "posts", "country"]

    for _ in range(3):
        put(store, make_hit(), make_hit())
    monkeypatch.setattr(jobs, "REFRESH_FOR_S", 0.0001)
    jobs.run("refresh")
    assert pageviews(database) == 8
    assert parts.runs.due(time.monotonic())[0] == "refresh"


def test_a_run_counts_what_comes_meanwhile_at_its_pace_until_nothing_does(
    parts: Parts, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshes: list[int | None] = []
    began_s: list[float] = []

    def refresh_and_tell(connection: Connection) -> int | None:
        began_s.append(time.monotonic())
        refreshes.append(refresh(connection))
        if len(refreshes) == 1:
            put(store, make_hit())
            parts.runs.wake(time.monotonic())
        return refreshes[-1]

    monkeypatch.setattr(jobs, "refresh", refresh_and_tell)
    monkeypatch.setattr(runs, "MANY_HITS", 300)
    put(store, *(make_hit() for _ in range(200)))
    jobs.run("refresh")
    assert refreshes == [200, 1, 0]
    assert began_s[1] - began_s[0] >= 0.599
    assert began_s[2] - began_s[1] >= 0.199
    assert "refresh" not in parts.runs.due(time.monotonic() + 10), "what came meanwhile is counted"


class _Lingering(ThreadWorker):
    """A worker that is slow to put away what it has run, as on a busy machine."""

    def handle_job_success(self, *arguments: Any, **named: Any) -> None:
        time.sleep(0.5)
        super().handle_job_success(*arguments, **named)


def test_hits_stored_while_rq_puts_a_refresh_away_are_counted_by_the_next_one_at_once(
    database: Database, settings: Settings, parts: Parts, store: Store
) -> None:
    client: Any = redis.Redis.from_url(settings.redis_url)
    ended = threading.Event()
    made = schedule.Schedule(
        lambda: connect(settings, "schedule", autocommit=True),
        dict.fromkeys(parts.runs.names, queue_of(jobs.REFRESH_QUEUE, client)),
        parts.runs,
        parts.metrics,
        parts.log,
    )
    threads = [
        threading.Thread(target=made.run),
        threading.Thread(
            target=lambda: _Lingering(
                jobs.REFRESH_QUEUE, client, lambda: not ended.is_set(), parts.runs
            ).run()
        ),
    ]
    for name in parts.runs.names[1:]:
        parts.runs.started(name, time.monotonic())
        parts.runs.done(name, time.monotonic(), more=False)
    for thread in threads:
        thread.start()
    try:
        put_until_counted(database, store, 1, 20)
        delays = [put_until_counted(database, store, number, 20) for number in range(2, 6)]
    finally:
        made.stop()
        ended.set()
        for thread in threads:
            thread.join(10)
    assert max(delays) < ASK_AGAIN_S, delays


# The table ----------------------------------------------------------------------------------------------------------


def test_a_table_that_cannot_be_written_stops_nothing_and_is_said_once(
    database: Database, settings: Settings
) -> None:
    log = Log()
    memory = Runs({"refresh": When(60)})
    table = JobTable(memory, log)  # type: ignore[arg-type]
    with connect(settings, "schedule", autocommit=True) as connection, database.connect() as eye:
        eye.execute("alter table jobs rename to mislaid")
        try:
            assert table.begin(connection) == {}
            for _ in range(3):
                memory.started("refresh", 0)
                memory.failed("refresh", 0, "OperationalError")
                table.record(connection, 0)
        finally:
            eye.execute("alter table mislaid rename to jobs")
        assert log.actions == ["jobs-not-recorded"]
        table.record(connection, 0)
        assert eye.execute("select failures_in_a_row, last_error from jobs").fetchall() == [
            (3, "OperationalError")
        ]
        eye.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'footfall schedule'"
        )
        memory.started("refresh", 1)
        memory.done("refresh", 1, more=False)
        with pytest.raises(psycopg.OperationalError):
            table.record(connection, 1)
        assert memory.news(1), "it is told when PostgreSQL is back"


# Redis --------------------------------------------------------------------------------------------------------------


def test_redis_killed_and_emptied_delays_hits_by_seconds(
    database: Database, settings: Settings, store: Store, own_redis: OwnRedis
) -> None:
    delays = []
    with running(settings, REDIS_URL=own_redis.url) as worker:
        put_until_counted(database, store, 1, 20)
        for number, lost_disk in enumerate((False, True, False, True), 2):
            own_redis.kill()
            put(store, make_hit())
            assert poll(lambda: worker.actions()[-1] == "waiting", 10)
            if lost_disk:
                for path in own_redis.server.folder.rglob("appendonly*"):
                    if path.is_file():
                        path.unlink()
            own_redis.start()
            began_s = time.monotonic()
            assert poll(lambda number=number: pageviews(database) == number, 20)
            delays.append(round(time.monotonic() - began_s, 2))
        put_until_counted(database, store, 6, 5)
        assert worker.process.poll() is None, "it is the same process"
        assert worker.stop() == 0
    print("seconds from Redis's start to the view", delays)
    assert max(delays) < 6, delays
    with database.connect() as eye:
        assert differences(eye) == {}


def test_flushall_at_any_time_loses_nothing(
    database: Database, settings: Settings, store: Store, worker: Worker
) -> None:
    put_until_counted(database, store, 1, 20)
    client: Any = redis.Redis.from_url(settings.redis_url)
    delays = []
    for number in range(2, 12):
        put(store, make_hit())
        client.flushall()
        began_s = time.monotonic()
        assert poll(lambda number=number: pageviews(database) == number, 20, 0.01)
        delays.append(round(time.monotonic() - began_s, 2))
    print("seconds from FLUSHALL to the view", delays)
    assert max(delays) < 4, delays
    with database.connect() as eye:
        assert differences(eye) == {}


def test_a_frozen_redis_delays_hits_and_no_more(
    database: Database, settings: Settings, store: Store, own_redis: OwnRedis
) -> None:
    with running(settings, REDIS_URL=own_redis.url) as worker:
        put_until_counted(database, store, 1, 20)
        own_redis.send(signal.SIGSTOP)
        put(store, make_hit())
        assert poll(lambda: "waiting" in worker.actions(), 45), "the schedule does not wait for ever"
        own_redis.send(signal.SIGCONT)
        assert poll(lambda: pageviews(database) == 2, 20)


def test_a_redis_that_freezes_within_a_job_is_noticed_too(
    database: Database, settings: Settings, store: Store, own_redis: OwnRedis
) -> None:
    waits = "select 1 from pg_locks where not granted and relation = 'rollup_pages'::regclass"
    with running(settings, REDIS_URL=own_redis.url) as worker:
        put_until_counted(database, store, 1, 20)
        with database.connect() as other, other.transaction():
            other.execute("lock table rollup_pages in access exclusive mode")
            put(store, make_hit())
            assert poll(lambda: other.execute(waits).fetchone() is not None, 10)
            own_redis.send(signal.SIGSTOP)
        assert poll(lambda: pageviews(database) == 2, 20), "it is counted, and now to be put away"
        put(store, make_hit())
        assert poll(lambda: "waiting" in worker.actions(), 45), "the worker does not wait for ever"
        own_redis.send(signal.SIGCONT)
        assert poll(lambda: pageviews(database) == 3, 20)


# Processes ----------------------------------------------------------------------------------------------------------


def test_a_worker_killed_within_a_job_leaves_nothing_that_holds_up_the_next(
    database: Database, settings: Settings, store: Store, worker: Worker
) -> None:
    put_until_counted(database, store, 1, 20)
    client: Any = redis.Redis.from_url(settings.redis_url)
    with database.connect() as other, other.transaction():
        other.execute("lock table rollup_pages in access exclusive mode")
        put(store, make_hit())
        assert poll(lambda: client.hget("rq:job:refresh", "status") == b"started", 10)
        worker.stop(signal.SIGKILL)
    worker.start()
    began_s = time.monotonic()
    assert poll(lambda: pageviews(database) == 2, 20)
    print("seconds from the start of the next process to the view", round(time.monotonic() - began_s, 2))
    with database.connect() as eye:
        assert differences(eye) == {}


def test_of_two_processes_one_works_and_the_other_takes_over(
    database: Database, settings: Settings, store: Store
) -> None:
    works = "footfall_rollup_works"
    with running(settings) as first, running(settings) as second:
        both = (first, second)
        assert poll(lambda: sorted(worker.metric(works) for worker in both) == [0, 1], 20)
        for number in range(1, 21):
            put_until_counted(database, store, number, 5)
        assert sorted(worker.metric(works) for worker in both) == [0, 1]
        working, other = both if first.metric(works) else both[::-1]
        assert other.metric(ends("refresh", "done")) == 0
        delays = [put_until_counted(database, store, 21, 5)]
        working.stop(signal.SIGKILL)
        delays.append(put_until_counted(database, store, 22, 10))
        working.start()
        assert poll(lambda: other.stop(signal.SIGTERM) == 0, 10)
        delays.append(put_until_counted(database, store, 23, 10))
        print(
            "seconds to the view: two, one killed, the other stopped", [round(delay, 2) for delay in delays]
        )
    with database.connect() as eye:
        assert differences(eye) == {}
        assert eye.execute("select count(*) from jobs").fetchone() == (4,)


def test_two_processes_whose_connections_are_cut_again_and_again_count_each_hit_once(
    database: Database, settings: Settings, store: Store
) -> None:
    with running(settings) as first, running(settings) as second, database.connect() as eye:
        put_until_counted(database, store, 1, 20)
        for number in range(2, 12):
            eye.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
                " and application_name in ('footfall rollup', 'footfall schedule')"
            )
            put_until_counted(database, store, number, 20)
        assert poll(lambda: sorted(w.metric("footfall_rollup_works") for w in (first, second)) == [0, 1], 10)
        assert differences(eye) == {}
        assert not [line for w in (first, second) for line in w.lines() if line["action"] == "crashed"]


# PostgreSQL out of reach --------------------------------------------------------------------------------------------


class Proxy:
    """A wire to PostgreSQL that can be made to carry nothing more, while both ends stay up."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._stalled = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stall(self) -> None:
        """Connections that are there carry nothing more; new ones do."""
        self._stalled.set()
        self._stalled = threading.Event()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                for ends_ in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(*ends_, self._stalled), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, stalled: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if not stalled.is_set():
                    target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(database: Database) -> Iterator[Proxy]:
    made = Proxy(database.port)
    yield made
    made.close()


def through(settings: Settings, proxy: Proxy, database: Database) -> Settings:
    url = Database(proxy.port, database.name).owner_url
    return make_settings(
        DATA_DIR=str(settings.data_dir), DATABASE_URL=url, REDIS_URL=settings.redis_url, PIXEL_PORT="1"
    )


def test_a_statement_that_gets_no_answer_is_cut_off(
    database: Database, settings: Settings, proxy: Proxy
) -> None:
    with connect(through(settings, proxy, database), "schedule", autocommit=True) as connection:
        with cut_after(connection, 5):
            assert connection.execute("select 1").fetchone() == (1,)
        proxy.stall()
        began_s = time.monotonic()
        with pytest.raises(psycopg.OperationalError), cut_after(connection, 0.3):
            connection.execute("select 1")
        assert 0.3 <= time.monotonic() - began_s < 3
        assert connection.closed


def test_the_schedule_leaves_a_connection_that_carries_nothing_any_more(
    database: Database, settings: Settings, proxy: Proxy, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule, "LOOK_EVERY_S", 0.3)
    monkeypatch.setattr(schedule, "ANSWER_WITHIN_S", 0.5)
    queue = rq.Queue(
        jobs.REFRESH_QUEUE,
        connection=redis.Redis.from_url(settings.redis_url),  # type: ignore[arg-type]
        serializer=JSONSerializer,
    )
    reached = through(settings, proxy, database)
    metrics, log = RollupMetrics(), Log()
    memory = Runs({"refresh": When(3600, on_hits=True)})
    made = schedule.Schedule(
        lambda: connect(reached, "schedule", autocommit=True), {"refresh": queue}, memory, metrics, log  # type: ignore[arg-type]
    )  # fmt: skip
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    try:
        assert poll(lambda: queue.job_ids == ["refresh"], 10)
        memory.started("refresh", time.monotonic())
        memory.done("refresh", time.monotonic(), more=False)
        queue.empty()
        proxy.stall()
        assert poll(lambda: log.actions.count("working") == 2, 10)
        put(store, make_hit())
        assert poll(lambda: queue.job_ids == ["refresh"], 10)
    finally:
        made.stop()
        thread.join(10)
    assert not thread.is_alive()
