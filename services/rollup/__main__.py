"""``python -m services.rollup``: an RQ worker and its schedule, until SIGTERM.

``python -m services.rollup rebuild FROM=2026-11-01 TO=2026-11-07`` counts days anew from their hits, and ends.

The worker runs jobs in its own process (RQ's SimpleWorker: 4 ms a job, where a fork costs 16): the jobs are ours,
and a job that a kill interrupts leaves nothing half done.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType

import redis
import rq
from redis.exceptions import RedisError
from rq.serializers import JSONSerializer

from services.database import connect, wait_for, wait_until_migrated
from services.key_files import read_password
from services.logs import Logger, make_logger
from services.metrics import RollupMetrics
from services.rollup import jobs, rebuild_command
from services.rollup.schedule import REFRESH_QUEUE, UPKEEP_QUEUE, Schedule
from services.settings import Settings, SettingsError, load_settings

# RQ blocks for its worker's life less 15 s: a dead connection is noticed within that.
WORKER_TTL_S = 30
PAUSE_S = 0.5
STOP_WITHIN_S = 2.0


class Worker(rq.SimpleWorker):
    """RQ's worker, quiet: it would log a line a job, and set up a log of its own."""

    max_connection_wait_time = 2.0

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        """Stop after the job; RQ would wait for ever for a Redis that is away. A job may be cut off anywhere."""
        timer = threading.Timer(STOP_WITHIN_S, os._exit, [0])
        timer.daemon = True
        timer.start()
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def procline(self, message: str) -> None:
        """The process keeps its name."""


def _redis(settings: Settings) -> redis.Redis:
    password = settings.redis_password or read_password(settings.key_dir, "redis")
    # Jobs may be enqueued or begun twice without harm, so RQ's own retries are welcome here.
    return redis.Redis.from_url(
        settings.rq_redis_url,
        password=password or None,
        socket_connect_timeout=2,
        socket_timeout=WORKER_TTL_S + 5,
        health_check_interval=10,
    )


def run(settings: Settings, metrics: RollupMetrics, log: Logger) -> None:
    """Work until SIGTERM or SIGINT, through failures of Redis."""
    client = _redis(settings)
    wait_for("Redis at RQ_REDIS_URL", client.ping, (RedisError, OSError), log)
    wait_until_migrated(settings, "rollup", "select from rollup_sessions limit 0", log)
    jobs.use(jobs.Parts(settings, lambda: connect(settings, "rollup"), metrics, log))
    queues = [
        rq.Queue(name, connection=client, serializer=JSONSerializer) for name in (REFRESH_QUEUE, UPKEEP_QUEUE)
    ]
    schedule = Schedule(
        lambda: connect(settings, "schedule", autocommit=True),
        queues[0],
        queues[1],
        metrics,
        log,
        country_refresh=settings.country_refresh,
    )
    thread = threading.Thread(target=schedule.run, name="schedule", daemon=True)
    thread.start()
    log.info("started")
    while True:
        try:
            worker = Worker(
                queues,
                connection=client,
                serializer=JSONSerializer,
                worker_ttl=WORKER_TTL_S,
                log_job_description=False,
            )
            worker.work(logging_level="WARNING")
            break  # a signal
        except (RedisError, OSError, ValueError) as error:
            log.warning("waiting", what="redis", error=type(error).__name__)
            time.sleep(PAUSE_S)
    schedule.stop()
    thread.join(0.2)  # it may be waiting for PostgreSQL; as a daemon it ends with the process


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
    run(settings, metrics, log)
    log.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
