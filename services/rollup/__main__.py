"""``python -m services.rollup``: two RQ workers and their schedule, until SIGTERM.

``python -m services.rollup rebuild FROM=2026-11-01 TO=2026-11-07`` counts days anew from their hits, and ends.

The refresh has the main thread, jobs that may be slow have one of their own. A worker runs jobs in this process
(RQ's SimpleWorker: 4 ms a job, where a fork costs 16): the jobs are ours, and a job that a kill interrupts leaves
nothing half done.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence

from redis.exceptions import RedisError

from services.database import connect, wait_for, wait_until_migrated
from services.logs import Logger, make_logger
from services.metrics import RollupMetrics
from services.rollup import jobs, rebuild_command
from services.rollup.parts import Parts, connect_to_refresh, connect_to_slow
from services.rollup.runs import Runs
from services.rollup.schedule import Schedule
from services.rollup.workers import (
    ThreadWorker,
    Worker,
    connect_to_redis,
    end_on_signals,
    queue_of,
    work,
)
from services.settings import Settings, SettingsError, load_settings

REDIS_ANSWERS_WITHIN_S = 5.0


def _make_schedule(settings: Settings, runs: Runs, metrics: RollupMetrics, log: Logger) -> Schedule:
    client = connect_to_redis(settings, REDIS_ANSWERS_WITHIN_S)
    return Schedule(
        lambda: connect(settings, "schedule", autocommit=True),
        {name: queue_of(jobs.JOBS_BY_NAME[name].queue, client) for name in runs.names},
        runs,
        metrics,
        log,
    )


def _in_thread(name: str, target: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    return thread


def run(settings: Settings, metrics: RollupMetrics, log: Logger) -> int:
    """Work or stand by until SIGTERM or SIGINT, through failures of Redis and PostgreSQL; the exit status."""
    end_on_signals()
    client = connect_to_redis(settings)
    wait_for("Redis at RQ_REDIS_URL", client.ping, (RedisError, OSError), log)
    wait_until_migrated(settings, "rollup", "select from posts limit 0", log)
    runs = Runs({job.name: job.when for job in jobs.JOBS if job.wanted(settings)})
    jobs.use(
        {
            jobs.REFRESH_QUEUE: Parts(
                settings, connect_to_refresh, runs, metrics, log, keeps_connection=True
            ),
            jobs.UPKEEP_QUEUE: Parts(settings, connect_to_slow, runs, metrics, log),
        }
    )
    schedule = _make_schedule(settings, runs, metrics, log)
    asking = _in_thread("schedule", schedule.run)
    slow_client = connect_to_redis(settings)

    def make_slow(may_work: Callable[[], bool]) -> Worker:
        return ThreadWorker(jobs.UPKEEP_QUEUE, slow_client, may_work, runs)

    def make_quick(may_work: Callable[[], bool]) -> Worker:
        return Worker(jobs.REFRESH_QUEUE, client, may_work, runs)

    slow = _in_thread("slow", lambda: work(make_slow, schedule, asking.is_alive, log))
    log.info("started")
    if work(make_quick, schedule, lambda: asking.is_alive() and slow.is_alive(), log):
        schedule.stop()
        asking.join(0.2)  # it may be waiting for PostgreSQL; as a daemon it ends with the process
        return 0
    return 1  # a thread has crashed and said so: started anew, the process has it again


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
