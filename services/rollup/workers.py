"""RQ's workers: that of the refresh in the main thread, that of the jobs that may be slow in a thread of its own.

RQ is made for a worker a process. The one in a thread therefore has no signals, and ends jobs by a timer. A process
of its own would be simpler and cost 60 MB.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import redis
import rq
from redis.backoff import ConstantBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty

from services.key_files import read_password
from services.logs import Logger
from services.rollup import jobs
from services.rollup.runs import Runs
from services.rollup.schedule import Schedule
from services.settings import Settings

# RQ waits for a job for its worker's life less 15 s, then looks whether it is still to work.
WORKER_TTL_S = 18
# RQ's 10 s beyond that wait would be the time in which a frozen Redis is not noticed, several times over.
ANSWERS_WITHIN_S = WORKER_TTL_S - 15 + 3
PAUSE_S = 0.5
STOP_WITHIN_S = 2.0
# A Redis that vanished without a word is noticed after 11 s. By their names: macOS has not all of them.
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3))
    if hasattr(socket, name)
}


def connect_to_redis(settings: Settings, timeout_s: float = ANSWERS_WITHIN_S) -> redis.Redis:
    """A client that connects when it is used; by default for a worker, which waits for jobs."""
    password = settings.redis_password or read_password(settings.key_dir, "redis")
    # Jobs may be enqueued or begun twice without harm, so a few retries are welcome here; but where there was no
    # answer in time, no second one is waited for.
    return redis.Redis.from_url(
        settings.rq_redis_url,
        password=password or None,
        socket_connect_timeout=2,
        socket_timeout=timeout_s,
        socket_keepalive=True,
        socket_keepalive_options=KEEPALIVE,
        health_check_interval=10,
        retry=Retry(ConstantBackoff(0.1), 2, supported_errors=(redis.ConnectionError,)),
    )


def queue_of(name: str, client: redis.Redis) -> rq.Queue:
    """A queue of our jobs."""
    return rq.Queue(name, connection=client, serializer=JSONSerializer)


def end_on_signals() -> None:
    """For when no worker of RQ's has the signals: nothing is under way that may not be cut off."""

    def end(_: int, __: FrameType | None) -> None:
        raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


class Worker(rq.SimpleWorker):
    """RQ's worker, quiet: it would log a line a job, and set up a log of its own. Ends when it is not to work."""

    max_connection_wait_time = 1.0
    connection_timeout = ANSWERS_WITHIN_S

    def __init__(self, queue: str, client: redis.Redis, may_work: Callable[[], bool], runs: Runs) -> None:
        self._may_work = may_work
        self._runs = runs
        self.was_told_to_stop = False
        super().__init__(
            [queue_of(queue, client)],
            connection=client,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL_S,
            log_job_description=False,
        )

    def run(self) -> bool:
        """Work until Redis fails or it is not to; whether a signal ended it. Raises when Redis is away."""
        try:
            self.work(logging_level="WARNING")
        finally:
            self._leave_signals()
        return self.was_told_to_stop

    def _leave_signals(self) -> None:
        end_on_signals()

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop after the job; RQ would wait for ever for a Redis that is away. A job may be cut off anywhere."""
        self.was_told_to_stop = self._runs.are_ending = True
        timer = threading.Timer(STOP_WITHIN_S, os._exit, [0])
        timer.daemon = True
        timer.start()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def execute_job(self, job: rq.job.Job, queue: rq.Queue) -> None:
        """Run a job that this worker has taken, and put it away."""
        with self._runs.in_hand(job.id):
            super().execute_job(job, queue)

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


class _Timer(TimerDeathPenalty):
    """Raises in the thread when it is back from what it waits for: PostgreSQL ends what lasts (``parts``)."""

    def new_timer(self) -> threading.Timer:
        timer = super().new_timer()  # type: ignore[no-untyped-call]
        timer.daemon = True  # else a process that is to end would wait for it
        return timer  # type: ignore[no-any-return]


class ThreadWorker(Worker):
    """A worker in a thread. It ends with the process, at any point of its job."""

    death_penalty_class = _Timer

    def _install_signal_handlers(self) -> None:
        """The main thread has them."""

    def _leave_signals(self) -> None:
        """It had none."""


def work(
    make_worker: Callable[[Callable[[], bool]], Worker],
    schedule: Schedule,
    is_well: Callable[[], bool],
    log: Logger,
) -> bool:
    """Work whenever this process is the one to, through failures of Redis; whether a signal ended it.

    False: the process is not well any more.
    """
    while is_well():
        if not schedule.wait_to_work(PAUSE_S):
            continue
        try:
            if make_worker(lambda: schedule.works() and is_well()).run():
                return True
        except (RedisError, OSError, ValueError) as error:
            log.warning("waiting", what="redis", error=type(error).__name__)
            time.sleep(PAUSE_S)
    return False
