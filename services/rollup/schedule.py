"""When jobs are enqueued: at once when hits were stored (PostgreSQL's NOTIFY), by the clock, and with back-off after
they failed.

Runs in a thread beside the RQ workers. Of several rollup processes one works, the one that holds an advisory lock on
its schedule's connection; the others stand by and take over within a second or so when that connection ends.

A job's name is its id in RQ, which takes an id once until it has run. As one process works, a job of that name that
none of its workers runs was left behind by a process that was killed, or is lost: it is enqueued anew. So nothing
that matters is in Redis, which may be killed, emptied or exchanged: what is due is known here, and what waits to be
counted is in PostgreSQL.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping

import psycopg
import rq
from redis.exceptions import RedisError
from rq.exceptions import DuplicateJobError
from rq.executions import ExecutionRegistry
from rq.job import Job
from rq.registry import StartedJobRegistry

from services.database import Connection, cut_after, let_server_notice, pauses_s
from services.logs import Logger
from services.metrics import RollupMetrics
from services.rollup import jobs
from services.rollup.job_table import JobTable
from services.rollup.runs import Runs

CHANNEL = "footfall_hits"
# Held (an advisory lock) by the schedule of the process that works.
JOBS_LOCK = 0x666F6F746A6F6273  # "footjobs", as a number

# Should a notification be lost, this finds what waits.
LOOK_EVERY_S = 5.0
STAND_BY_S = 1.0
# What the schedule asks of PostgreSQL takes a millisecond; it does not wait for one that stands still.
ANSWER_WITHIN_S = 10.0
# After that Redis is back for a while before hits are counted.
LONGEST_REDIS_PAUSE_S = 1.0
# RQ keeps a job that failed, for who looks there.
KEEP_FAILED_S = 60


class Schedule:
    """Enqueues. Built by ``__main__``; ``run`` is the thread's target. ``queues`` by the names of the jobs."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        queues: Mapping[str, rq.Queue],
        runs: Runs,
        metrics: RollupMetrics,
        log: Logger,
    ) -> None:
        self._connect = connect
        self._queues = queues
        self._runs = runs
        self._table = JobTable(runs, log)
        self._metrics = metrics
        self._log = log
        self._stopped = threading.Event()
        self._works = threading.Event()
        self._redis_pauses = pauses_s(LONGEST_REDIS_PAUSE_S)
        self._redis_next_s = -math.inf
        for name in runs.names:
            metrics.job_done.labels(name).set(0)
            metrics.job_failures.labels(name).set(0)

    def stop(self) -> None:
        """Let ``run`` end."""
        self._stopped.set()

    def works(self) -> bool:
        """Whether the workers of this process are those that work."""
        return self._works.is_set()

    def wait_to_work(self, seconds: float) -> bool:
        """Whether they are, or become so in time."""
        return self._works.wait(seconds)

    def run(self) -> None:
        """Until ``stop``; waits for servers that are away."""
        pauses = pauses_s()
        while not self._stopped.is_set():
            began_s = time.monotonic()
            try:
                with self._connect() as connection:
                    if self._stand_by(connection):
                        self._work(connection)
            except (psycopg.OperationalError, OSError) as error:
                if time.monotonic() - began_s > LOOK_EVERY_S:
                    pauses = pauses_s()  # it went well for a while
                self._log.warning("waiting", what="schedule", error=type(error).__name__)
                self._stopped.wait(next(pauses))
            finally:
                self._set_works(False)

    def _set_works(self, works: bool) -> None:
        (self._works.set if works else self._works.clear)()
        self._metrics.works.set(works)

    def _stand_by(self, connection: Connection) -> bool:
        """Return when this process is the one to work; False: stopped before that. Raises when PostgreSQL fails."""
        was_told = False
        while not self._stopped.is_set():
            self._metrics.heartbeat.set(time.time())
            with cut_after(connection, ANSWER_WITHIN_S):
                row = connection.execute("select pg_try_advisory_lock(%s)", [JOBS_LOCK]).fetchone()
            if row and row[0]:
                return True
            if not was_told:
                self._log.info("standing-by")
                was_told = True
            self._stopped.wait(STAND_BY_S)
        return False

    def _work(self, connection: Connection) -> None:
        """Ask for what is due until stopped. Raises when PostgreSQL fails."""
        with cut_after(connection, ANSWER_WITHIN_S):
            let_server_notice(connection)
            connection.execute("set lock_timeout = '2s'")  # the table `jobs` is not worth waiting for
            connection.execute(f"listen {CHANNEL}")
            for name, failures in self._table.begin(connection).items():
                self._metrics.job_failures.labels(name).set(self._runs.had_failed(name, failures))
        self._set_works(True)
        self._log.info("working")
        look_s = -math.inf  # what was stored while nobody listened
        while not self._stopped.is_set():
            self._metrics.heartbeat.set(time.time())
            now_s = time.monotonic()
            if look_s <= now_s or self._runs.news(now_s):
                with cut_after(connection, ANSWER_WITHIN_S):
                    self._table.record(connection, now_s)
                    self._look(connection)
                look_s = now_s + LOOK_EVERY_S
            self.ask(time.monotonic())
            for _ in connection.notifies(timeout=self._quiet_s(look_s), stop_after=1):
                self._runs.wake(time.monotonic())

    def _look(self, connection: Connection) -> None:
        row = connection.execute("select exists (select from rollup_pending)").fetchone()
        if row and row[0]:
            self._runs.wake(time.monotonic())

    def _quiet_s(self, look_s: float) -> float:
        """How long there is nothing to do, unless PostgreSQL has word of hits."""
        now_s = time.monotonic()
        next_s = max(self._runs.next_look_s(now_s), self._redis_next_s)
        return max(0.01, min(next_s, look_s) - now_s)

    def ask(self, now_s: float) -> None:
        """Enqueue the jobs that are due, unless Redis is away."""
        if now_s < self._redis_next_s:
            return
        for name in self._runs.due(now_s):
            self._runs.asked(name, now_s)  # before it is: the worker may be faster
            try:
                self.enqueue(name)
            except (RedisError, OSError) as error:
                self._runs.not_asked(name, now_s)
                self._log.warning("waiting", what="redis", error=type(error).__name__)
                self._redis_next_s = time.monotonic() + next(self._redis_pauses)
                return
            self._redis_pauses = pauses_s(LONGEST_REDIS_PAUSE_S)

    def enqueue(self, name: str) -> bool:
        """Enqueue a job unless it waits already, or its worker is busy; whether it was enqueued now."""
        if self._enqueue_new(name):
            return True
        if self._runs.is_any_running(other for other in self._queues if self._shares_worker(other, name)):
            return False  # its turn comes
        self._forget(name)
        return self._enqueue_new(name)

    def _shares_worker(self, one: str, other: str) -> bool:
        return bool(self._queues[one].name == self._queues[other].name)

    def _enqueue_new(self, name: str) -> bool:
        try:
            self._queues[name].enqueue(
                jobs.run, name, job_id=name, unique=True, description=name,
                job_timeout=self._runs.within_s(name), result_ttl=0, failure_ttl=KEEP_FAILED_S,
            )  # fmt: skip
        except DuplicateJobError:
            return False
        return True

    def _forget(self, name: str) -> None:
        """Take a job out of Redis, whatever state it was left in.

        RQ would do so 2 to 12 minutes after its worker was killed; and find by then the job that has its id now.
        """
        queue = self._queues[name]
        started = StartedJobRegistry(queue=queue)
        with queue.connection.pipeline() as pipe:
            pipe.lrem(queue.key, 0, name)
            pipe.lrem(queue.intermediate_queue_key, 0, name)
            for job_id, execution_id in started.get_job_and_execution_ids(cleanup=False):
                if job_id == name:
                    pipe.zrem(started.key, f"{job_id}:{execution_id}")
            pipe.delete(Job.key_for(name), ExecutionRegistry(name, queue.connection).key)
            pipe.execute()
