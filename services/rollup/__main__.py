"""``python -m services.rollup``: an RQ worker and its schedule, until SIGTERM.

``python -m services.rollup rebuild FROM=2026-11-01 TO=2026-11-07`` counts days anew from their hits, and ends.

The worker runs jobs in its own process (RQ's SimpleWorker: 4 ms a job, where a fork costs 16): the jobs are ours,
and a job that a kill interrupts leaves nothing half done.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import redis
import rq
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer

from services.database import connect, wait_for, wait_until_migrated
from services.key_files import read_password
from services.logs import Logger, make_logger
from services.metrics import RollupMetrics
from services.rollup import jobs, rebuild_command
from services.rollup.runs import Runs
from services.rollup.schedule import Schedule
from services.settings import Settings, SettingsError, load_settings

# RQ waits for a job for its worker's life less 15 s, then looks whether it is still to work.
WORKER_TTL_S = 18
REDIS_ANSWERS_WITHIN_S = 5.0
PAUSE_S = 0.5
STOP_WITHIN_S = 2.0
# A Redis that vanished without a word is noticed after 11 s. By their names: macOS has not all of them.
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


class Worker(rq.SimpleWorker):
    """RQ's worker, quiet: it would log a line a job, and set up a log of its own. Ends when it is not to work."""

    max_connection_wait_time = 1.0

    def __init__(self, queues: list[rq.Queue], may_work: Callable[[], bool], **options: Any) -> None:
        self._may_work = may_work
        self.was_told_to_stop = False
        super().__init__(queues, **options)

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop after the job; RQ would wait for ever for a Redis that is away. A job may be cut off anywhere."""
        self.was_told_to_stop = True
        timer = threading.Timer(STOP_WITHIN_S, os._exit, [0])
        timer.daemon = True
        timer.start()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """RQ calls it between jobs and every 3 s while it waits for one; with a pipeline, within one."""
        if pipeline is None and not self._may_work():
            raise StopRequested
        super().heartbeat(timeout, pipeline)

    def handle_exception(self, job: rq.job.Job, *exc_info: Any) -> None:
        """What failed within a job of ours is logged by then, and without its text."""
        if job.id not in jobs.JOBS_BY_NAME:
            super().handle_exception(job, *exc_info)

    def procline(self, message: str) -> None:
        """The process keeps its name."""


def _redis(settings: Settings, timeout_s: float) -> redis.Redis:
    password = settings.redis_password or read_password(settings.key_dir, "redis")
    # Jobs may be enqueued or begun twice without harm, so a few retries are welcome here.
    return redis.Redis.from_url(
        settings.rq_redis_url,
        password=password or None,
        socket_connect_timeout=2,
        socket_timeout=timeout_s,
        socket_keepalive=True,
        socket_keepalive_options=KEEPALIVE,
        health_check_interval=10,
        retry=Retry(ConstantBackoff(0.1), 2),
    )


def _queues(client: redis.Redis) -> dict[str, rq.Queue]:
    return {name: rq.Queue(name, connection=client, serializer=JSONSerializer) for name in jobs.QUEUES}


def _make_schedule(settings: Settings, runs: Runs, metrics: RollupMetrics, log: Logger) -> Schedule:
    queues = _queues(_redis(settings, REDIS_ANSWERS_WITHIN_S))
    return Schedule(
        lambda: connect(settings, "schedule", autocommit=True),
        {name: queues[jobs.JOBS_BY_NAME[name].queue] for name in runs.names},
        runs,
        metrics,
        log,
    )


def _work_once(client: redis.Redis, may_work: Callable[[], bool]) -> bool:
    """Work until Redis fails or another process is to; whether a signal ended it. Raises when Redis is away."""
    worker = Worker(
        list(_queues(client).values()),
        may_work,
        connection=client,
        serializer=JSONSerializer,
        worker_ttl=WORKER_TTL_S,
        log_job_description=False,
    )
    try:
        worker.work(logging_level="WARNING")
    finally:
        _end_on_signals()
    return worker.was_told_to_stop


def _end_on_signals() -> None:
    """For when no worker of RQ's has the signals: nothing is under way."""

    def end(_: int, __: FrameType | None) -> None:
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


def run(settings: Settings, metrics: RollupMetrics, log: Logger) -> int:
    """Work or stand by until SIGTERM or SIGINT, through failures of Redis and PostgreSQL; the exit status."""
    _end_on_signals()
    client = _redis(settings, WORKER_TTL_S + 5)
    wait_for("Redis at RQ_REDIS_URL", client.ping, (RedisError, OSError), log)
    wait_until_migrated(settings, "rollup", "select from jobs limit 0", log)
    runs = Runs({job.name: job.when for job in jobs.JOBS if job.wanted(settings)})
    jobs.use(jobs.Parts(settings, lambda: connect(settings, "rollup"), runs, metrics, log))
    schedule = _make_schedule(settings, runs, metrics, log)
    thread = threading.Thread(target=schedule.run, name="schedule", daemon=True)
    thread.start()
    log.info("started")
    while thread.is_alive():
        if not schedule.wait_to_work(PAUSE_S):
            continue
        try:
            if _work_once(client, schedule.works):
                schedule.stop()
                thread.join(0.2)  # it may be waiting for PostgreSQL; as a daemon it ends with the process
                return 0
        except (RedisError, OSError, ValueError) as error:
            log.warning("waiting", what="redis", error=type(error).__name__)
            time.sleep(PAUSE_S)
    return 1  # the schedule has crashed and said so: started anew, the process has one again


def main(arguments: Sequence[str]) -> int:
    """0, or 1 with an error that says what to do."""
    log = make_logger("rollup")
    try:
        settings = load_settings()
    except SettingsError as error:
        log.error("bad-settings", problems=error.problems)
        return 1
    if arguments[:1] == ["rebuild"]:
        return rebuild_command.command(arguments[1:], settings, log)
    metrics = RollupMetrics()
    try:
        metrics.serve(settings.metrics_host, settings.metrics_port)
    except OSError as error:
        log.error("cannot-start", problem=f"METRICS_PORT {settings.metrics_port}: {error.strerror}")
        return 1
    try:
        status = run(settings, metrics, log)
    except SystemExit:
        status = 0
    log.info("stopped")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
