"""What is waited for at a steady rate: the answer, and the view that counts a hit. And what quiet costs."""

from __future__ import annotations

import threading
import time

import psycopg

from bench.driver import Driver, Say
from bench.figures import Figures, percentile
from bench.load import BenchError

P99_SECONDS = 8.0
ROLLUP_HITS_A_SECOND, ROLLUP_SECONDS = 1_000, 8.0
LOOK_AT_VIEW_EVERY_S = 0.01
IDLE_S, IDLE_AFTER_S = 10.0, 3.0


class Steady:
    """Adds its figures to ``figures``."""

    def __init__(self, driver: Driver, figures: Figures, say: Say) -> None:
        self._driver = driver
        self._stack = driver.stack
        self._figures = figures
        self._say = say
        self._sites = 0

    def latency(self, rate: int, name: str) -> None:
        """From a request's sending to its complete answer, evenly spaced, whole stack running."""
        load = self._driver.pace(rate, P99_SECONDS)
        self._figures.add(name, load.p99_ms)
        self._say(f"  {name} {load.p99_ms:.2f} (p50 {load.p50_ms:.2f}, max {load.max_ms:.1f})")
        self._stack.settle()

    def latency_everysec(self) -> None:
        """The same while Redis answers before it has written."""
        with self._stack.everysec():
            self.latency(500, "pixel_everysec_p99_ms_at_500_per_s")

    def hit_to_rollup(self) -> None:
        """From the n-th answer until the view daily_traffic says n pageviews (of a site that gets no other hits)."""
        self._sites += 1
        site = f"latency{self._sites}.example"
        seen: list[tuple[float, int]] = []
        ended = threading.Event()
        with self._stack.connect() as connection:
            watching = threading.Thread(target=watch_view, args=(connection, site, seen, ended))
            watching.start()
            try:
                load = self._driver.pace(ROLLUP_HITS_A_SECOND, ROLLUP_SECONDS, site, bots=False)
                self._stack.settle()
            finally:
                time.sleep(5 * LOOK_AT_VIEW_EVERY_S)
                ended.set()
                watching.join()
        delays_ms = [1000 * delay for delay in view_delays_s(load.times, seen)]
        if len(delays_ms) < load.answered:
            raise BenchError(f"the view shows {len(delays_ms)} of {load.answered} pageviews")
        p99 = percentile(delays_ms, 0.99)
        self._figures.add("hit_to_rollup_ms_p99", p99)
        self._say(f"  p50 {percentile(delays_ms, 0.5):.0f} ms, p99 {p99:.0f} ms, max {max(delays_ms):.0f} ms")

    def idle(self) -> None:
        """No hit comes; memory as it is after the load. Of one core; the three services, and the stack."""
        time.sleep(IDLE_AFTER_S)
        before, whole, began = self._stack.services_cpu_s(), self._stack.cpu(), time.monotonic()
        time.sleep(IDLE_S)
        spent_s, whole_s = self._stack.services_cpu_s() - before, (self._stack.cpu() - whole).whole
        seconds = time.monotonic() - began
        self._figures.add("idle_cpu_percent", 100 * spent_s / seconds)
        self._figures.add("idle_stack_cpu_percent", 100 * whole_s / seconds)
        self._figures.add("rss_mb", self._stack.services_rss_bytes() / 1e6)


def watch_view(
    connection: psycopg.Connection[object], site: str, seen: list[tuple[float, int]], ended: threading.Event
) -> None:
    """Note when the view's number changes, until ``ended``."""
    last = 0
    while not ended.wait(LOOK_AT_VIEW_EVERY_S):
        row = connection.execute(
            "select coalesce(sum(pageviews), 0)::bigint from daily_traffic where site = %s", [site]
        ).fetchone()
        number = int(str(row[0])) if isinstance(row, tuple) else 0
        if number != last:
            last = number
            seen.append((time.monotonic(), number))


def view_delays_s(answered_at: tuple[float, ...], seen: list[tuple[float, int]]) -> list[float]:
    """For each answer the seconds until the view showed as many; those never shown are left out.

    ``seen`` has (time, number) of each change, growing. An answer that the view outran counts as 0.
    """
    delays: list[float] = []
    changes = iter(seen)
    at, number = -1.0, 0
    for count, answered in enumerate(sorted(answered_at), start=1):
        while number < count:
            change = next(changes, None)
            if change is None:
                return delays
            at, number = change
        delays.append(max(0.0, at - answered))
    return delays
