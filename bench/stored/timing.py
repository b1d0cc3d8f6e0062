"""How long questions take, seen from the client: until the last row is here."""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from datetime import timedelta
from typing import NamedTuple

import psycopg

from bench.figures import percentile
from bench.load import BenchError
from bench.stored.questions import Question

RUNS = 5  # after one that warms up


class Timing(NamedTuple):
    """Of one question over one range."""

    name: str
    ms: float  # the median of the runs
    rows: int
    cancelled: bool = False  # by its role's limit, after so long

    def __str__(self) -> str:
        return f"{self.name} {self.ms:.0f} ms" + (", cancelled" if self.cancelled else "")


def time_questions(url: str, questions: list[Question], ranges: dict[str, timedelta]) -> list[Timing]:
    """Each question over each range, one after the other. Raises ``BenchError`` when one fails."""
    timings = []
    for role in sorted({question.role for question in questions}):
        # Planned each time, as it is for Grafana.
        with closing(psycopg.connect(url, user=role, autocommit=True, prepare_threshold=None)) as connection:
            for question in questions:
                if question.role == role:
                    for name, span in ranges.items():
                        timings.append(_time(connection, f"{question.name}, {name}", question.expanded(span)))
    return timings


def _time(connection: psycopg.Connection[object], name: str, statement: str) -> Timing:
    taken_ms: list[float] = []
    rows = 0
    for _ in range(1 + RUNS):
        began = time.perf_counter()
        try:
            rows = connection.execute(statement.encode()).rowcount
        except psycopg.errors.QueryCanceled:
            return Timing(name, (time.perf_counter() - began) * 1000, rows, cancelled=True)
        except psycopg.Error as error:
            raise BenchError(f"{name}: {error}") from error
        taken_ms.append((time.perf_counter() - began) * 1000)
    return Timing(name, statistics.median(taken_ms[1:]), rows)


class Summary(NamedTuple):
    """Of many timings, in milliseconds."""

    p50: float
    p95: float
    slowest: float
    words: str  # which were the slowest
    empty: list[str]  # which had no rows in any range, and so say little


def summary_of(timings: list[Timing], shown: int = 5) -> Summary:
    """Raises ``ValueError`` when there are none."""
    taken = [timing.ms for timing in timings]
    slowest = sorted(timings, key=lambda timing: -timing.ms)[:shown]
    questions = {timing.name.rpartition(",")[0] for timing in timings}
    answered = {timing.name.rpartition(",")[0] for timing in timings if timing.rows}
    return Summary(
        percentile(taken, 0.5),
        percentile(taken, 0.95),
        max(taken),
        "; ".join(map(str, slowest)),
        sorted(questions - answered),
    )
