"""What is known of each job's runs, and when it is to run next.

The schedule's thread asks for jobs and the workers' run them; all are in the one rollup process that works, so
this memory, and neither Redis nor PostgreSQL, decides what is due: either may be emptied or away. Times are those of
``time.monotonic()``, handed in.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

# From an answered hit to a changed view in half a second at 1,000 hits/s. Hits share what a refresh costs of its own:
# the more came, the further apart refreshes are.
APART_S = 0.2
MORE_APART_S = 0.6
MANY_HITS = 2_000
# A job that was asked for and has not begun is asked for again: Redis may have been emptied.
ASK_AGAIN_S = 2.0
# How long RQ lets a job run, in whole seconds: the refresh, and what may read whole days.
WITHIN_S = 60
SLOW_WITHIN_S = 3_600
# After that and this, the worker is not believed to run it still.
ENDED_WITHIN_S = 30.0
LONGEST_PAUSE_S = 60.0
# A refresh may run five times a second; its row is for a person who looks.
RECORD_EVERY_S = 10.0


def pause_after_s(failures: int) -> float:
    """Seconds until a job that has failed so many times in a row is tried again: 1, 2, 4 … 60, or a fifth less."""
    return min(2.0 ** min(failures - 1, 10), LONGEST_PAUSE_S) * random.uniform(0.8, 1)


def apart_s(hits: int) -> float:
    """Seconds from the beginning of a refresh that counted so many hits to that of the next, at least."""
    return APART_S + MORE_APART_S * min(1.0, hits / MANY_HITS)


class When(NamedTuple):
    """When a job runs: at the start of the process, then so long after the end of each run."""

    every_s: float
    within_s: int = WITHIN_S  # then RQ ends it
    on_hits: bool = False  # as soon as hits were stored, too
    backs_off: bool = True  # tried again sooner after a failure; else after ``every_s`` then as well


class Record(NamedTuple):
    """What the table ``jobs`` is told of a job; None is not known here."""

    name: str
    started_ago_s: float | None
    done_ago_s: float | None
    failed_ago_s: float | None
    failures: int
    error: str | None
    next_in_s: float


@dataclass(slots=True)
class _Run:
    when: When
    state: Literal["idle", "asked", "running"] = "idle"
    next_s: float = -math.inf
    asked_s: float = -math.inf
    woken: bool = False  # by hits that a run which has begun may not have seen
    did_well: bool = False  # a part of the run: what fails then does so for the first time
    failures: int = 0
    error: str | None = None
    started_s: float | None = None
    done_s: float | None = None
    failed_s: float | None = None
    recorded_s: float = -math.inf
    news: Literal["none", "some", "urgent"] = "none"

    def soon(self, now_s: float) -> None:
        """Run next as soon as may be."""
        self.next_s = min(self.next_s, max(now_s, self.asked_s + APART_S))

    def record(self, name: str, now_s: float) -> Record:
        """As the table is told; a job that is under way is next now."""
        started, done, failed = (
            None if at_s is None else now_s - at_s for at_s in (self.started_s, self.done_s, self.failed_s)
        )
        next_in_s = max(0.0, self.next_s - now_s) if self.state == "idle" else 0.0
        return Record(name, started, done, failed, self.failures, self.error, next_in_s)


class Runs:
    """The runs of the jobs that are scheduled, by name. Safe to share between threads."""

    def __init__(self, jobs: Mapping[str, When]) -> None:
        self._lock = threading.Lock()
        self._runs = {name: _Run(when) for name, when in jobs.items()}
        self._in_hand: set[str] = set()
        self.are_ending = False  # a run that has done a part of its work is to leave the rest

    @property
    def names(self) -> list[str]:
        """Names of the jobs that are scheduled."""
        return list(self._runs)

    def had_failed(self, name: str, failures: int) -> int:
        """How often a job failed in a row: as the table says, unless it ran here: the table may not know that yet."""
        with self._lock:
            run = self._runs[name]
            if run.started_s is None:
                run.failures = failures
            return run.failures

    def due(self, now_s: float) -> list[str]:
        """Jobs to ask for, those of the front of the list first."""
        with self._lock:
            return [
                name
                for name, run in self._runs.items()
                if run.next_s <= now_s and not (name in self._in_hand and run.state == "idle")
            ]

    def asked(self, name: str, now_s: float) -> None:
        """The job is being asked for: the worker may begin it at any time."""
        with self._lock:
            run = self._runs[name]
            run.state, run.asked_s, run.next_s = "asked", now_s, now_s + ASK_AGAIN_S

    def not_asked(self, name: str, now_s: float) -> None:
        """It could not be asked for, as Redis failed; or that is not known."""
        with self._lock:
            run = self._runs[name]
            if run.state == "asked":
                run.state, run.next_s = "idle", now_s

    def wake(self, now_s: float) -> None:
        """Hits were stored. A job that fails keeps its pause all the same."""
        with self._lock:
            for run in self._runs.values():
                if run.when.on_hits:
                    run.woken = True
                    if run.state == "idle" and not run.failures:
                        run.soon(now_s)

    @contextlib.contextmanager
    def in_hand(self, name: str) -> Iterator[None]:
        """While RQ has the job: putting it away deletes whatever has its id, so it is not asked for before."""
        with self._lock:
            self._in_hand.add(name)
        try:
            yield
        finally:
            with self._lock:
                self._in_hand.remove(name)

    def started(self, name: str, now_s: float) -> None:
        """A run begins, and will see all hits that were stored so far."""
        with self._lock:
            run = self._runs[name]
            run.state, run.started_s, run.woken, run.did_well = "running", now_s, False, False
            run.next_s = now_s + run.when.within_s + ENDED_WITHIN_S
            run.news = "urgent" if run.news == "urgent" else "some"

    def goes_on(self, name: str, now_s: float) -> None:
        """The run that is under way did a part of its work well, and will see all hits that were stored so far."""
        with self._lock:
            run = self._runs[name]
            run.woken, run.did_well, run.done_s = False, True, now_s

    def done(self, name: str, now_s: float, *, more: bool) -> int:
        """A run ended well; ``more``: before all was done. How often the job had failed in a row until now."""
        with self._lock:
            run = self._runs[name]
            had_failed = run.failures
            run.news = "urgent" if had_failed or run.done_s is None else "some"
            run.state, run.failures, run.done_s = "idle", 0, now_s
            run.next_s = now_s + run.when.every_s
            if more or run.woken:
                run.soon(now_s)
            return had_failed

    def failed(self, name: str, now_s: float, error: str) -> tuple[int, float]:
        """A run failed: how often in a row now, and the seconds until the next try."""
        with self._lock:
            run = self._runs[name]
            run.state, run.failed_s, run.error, run.news = "idle", now_s, error, "urgent"
            run.failures = 1 if run.did_well else run.failures + 1
            pause_s = pause_after_s(run.failures) if run.when.backs_off else run.when.every_s
            run.next_s = now_s + pause_s
            return run.failures, pause_s

    def within_s(self, name: str) -> int:
        """How long a job may run."""
        return self._runs[name].when.within_s

    def is_any_running(self, names: Iterable[str]) -> bool:
        """Whether the worker of these jobs is busy."""
        with self._lock:
            return any(self._runs[name].state == "running" or name in self._in_hand for name in names)

    def next_look_s(self, now_s: float) -> float:
        """When something may be due, or have become so: soon while a job is under way."""
        with self._lock:
            busy = any(run.state != "idle" for run in self._runs.values())
            next_s = min((run.next_s for run in self._runs.values()), default=math.inf)
            return min(next_s, now_s + APART_S) if busy else next_s

    def news(self, now_s: float) -> list[Record]:
        """What the table does not know yet: a failure and a recovery at once, all else every 10 s at most."""
        with self._lock:
            return [
                run.record(name, now_s)
                for name, run in self._runs.items()
                if run.news == "urgent" or (run.news == "some" and run.recorded_s + RECORD_EVERY_S <= now_s)
            ]

    def recorded(self, told: Record, now_s: float) -> None:
        """The table knows this; what happened since is news still."""
        with self._lock:
            run = self._runs[told.name]
            run.recorded_s = now_s
            if told == run.record(told.name, now_s):
                run.news = "none"
