"""The table ``jobs``, which shows on the dashboard how the jobs are doing.

It is for people: nothing is decided by it, so failing to write it stops nothing. It is written by the schedule, whose
connection is not that of the job that fails.
"""

from __future__ import annotations

from pathlib import Path

import psycopg

from services.database import Connection, load_sql
from services.logs import Logger
from services.rollup.runs import Runs

_SQL = Path(__file__).with_name("sql")
BEGIN_JOBS = load_sql(_SQL / "begin_jobs.sql")
RECORD_JOB = load_sql(_SQL / "record_job.sql")


class JobTable:
    """Writes on a connection in autocommit mode. Raises ``psycopg.OperationalError`` only when that is broken."""

    def __init__(self, runs: Runs, log: Logger) -> None:
        self._runs = runs
        self._log = log
        self._is_well = True

    def begin(self, connection: Connection) -> dict[str, int]:
        """Have a row for each job that is scheduled and none for others; how often each failed in a row."""
        try:
            connection.execute("delete from jobs where name <> all (%s)", [self._runs.names])
            rows = connection.execute(BEGIN_JOBS, {"names": self._runs.names}).fetchall()
        except psycopg.Error as error:
            self._not_written(connection, error)
            return {}
        return dict(rows)

    def record(self, connection: Connection, now_s: float) -> None:
        """Write what is new of the jobs' runs; what could not be written is tried again by the next call."""
        try:
            for record in self._runs.news(now_s):
                connection.execute(RECORD_JOB, record._asdict())
                self._runs.recorded(record, now_s)
                self._is_well = True
        except psycopg.Error as error:
            self._not_written(connection, error)

    def _not_written(self, connection: Connection, error: psycopg.Error) -> None:
        if connection.broken or connection.closed:
            raise error
        if self._is_well:
            self._log.warning("jobs-not-recorded", error=type(error).__name__)
        self._is_well = False
