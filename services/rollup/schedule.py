"""When jobs are enqueued: at once when hits were stored (PostgreSQL's NOTIFY), and by the clock.

Runs in a thread beside the RQ worker. A job is enqueued only while none waits in the queue, so that a worker that
is slow, or away, finds one to do and not a thousand; each ends by itself after a minute.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

import psycopg
import rq
from redis.exceptions import RedisError

from services.database import Connection, pauses_s
from services.logs import Logger
from services.metrics import RollupMetrics
from services.rollup import jobs

CHANNEL = "footfall_hits"
REFRESH_QUEUE = "footfall-refresh"
UPKEEP_QUEUE = "footfall-upkeep"

# From an answered hit to a changed view in 2 s at the 99th percentile; a refresh costs some 10 ms of its own,
# which many hits should share.
REFRESH_APART_S = 0.2
# Should a notification be lost, this finds what waits.
LOOK_EVERY_S = 5.0
UPKEEP_EVERY_S = 3_600.0
# Whether it is time to count is for the job to say.
SESSIONS_EVERY_S = 10.0
# After a failure too: neither DB-IP nor MaxMind is to be asked more often.
COUNTRY_EVERY_S = 86_400.0
JOB_TTL_S = 60


class Schedule:
    """Enqueues. Built by ``__main__``; ``run`` is the thread's target."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        refresh_queue: rq.Queue,
        upkeep_queue: rq.Queue,
        metrics: RollupMetrics,
        log: Logger,
        *,
        country_refresh: bool = False,
    ) -> None:
        self._connect = connect
        self._refresh_queue = refresh_queue
        self._upkeep_queue = upkeep_queue
        self._metrics = metrics
        self._log = log
        self._next_upkeep_s = 0.0
        self._next_sessions_s = 0.0
        self._next_country_s = 0.0 if country_refresh else math.inf
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Let ``run`` end."""
        self._stopped.set()

    def run(self) -> None:
        """Until ``stop``; waits for servers that are away."""
        pauses = pauses_s()
        while not self._stopped.is_set():
            began_s = time.monotonic()
            try:
                with self._connect() as connection:
                    connection.execute(f"listen {CHANNEL}")
                    self._watch(connection)
            except (psycopg.OperationalError, RedisError, OSError) as error:
                if time.monotonic() - began_s > LOOK_EVERY_S:
                    pauses = pauses_s()  # it went well for a while
                pause_s = next(pauses)
                self._log.warning("waiting", what="schedule", error=type(error).__name__)
                self._stopped.wait(pause_s)

    def _watch(self, connection: Connection) -> None:
        """Raises when PostgreSQL or Redis fails."""
        waiting = True  # what was stored while nobody listened
        while not self._stopped.is_set():
            self._metrics.heartbeat.set(time.time())
            if time.monotonic() >= self._next_upkeep_s:
                self.enqueue(self._upkeep_queue, jobs.keep_up)
                self._next_upkeep_s = time.monotonic() + UPKEEP_EVERY_S
            if time.monotonic() >= self._next_sessions_s and self.enqueue(
                self._upkeep_queue, jobs.count_sessions
            ):
                self._next_sessions_s = time.monotonic() + SESSIONS_EVERY_S
            # Not while upkeep waits in the queue: in the next round, then.
            if time.monotonic() >= self._next_country_s and self.enqueue(
                self._upkeep_queue, jobs.refresh_country
            ):
                self._next_country_s = time.monotonic() + COUNTRY_EVERY_S
            if waiting and self.enqueue(self._refresh_queue, jobs.refresh_rollups):
                waiting = False
                self._stopped.wait(REFRESH_APART_S)  # what is stored meanwhile shares the next one
            timeout_s = REFRESH_APART_S if waiting else LOOK_EVERY_S
            for _ in connection.notifies(timeout=timeout_s, stop_after=1):
                waiting = True
            if not waiting:
                row = connection.execute("select exists (select from rollup_pending)").fetchone()
                waiting = bool(row and row[0])

    def enqueue(self, queue: rq.Queue, job: Callable[[], None]) -> bool:
        """Enqueue a job unless one waits already; whether it was enqueued now."""
        if queue.count:
            return False
        queue.enqueue(job, ttl=JOB_TTL_S, result_ttl=0, failure_ttl=3_600, job_timeout=JOB_TTL_S)
        return True
