"""What a hit costs when hits come as fast as they are answered: the pixel, the whole pipeline, and recovery.

CPU is user and system time of all processes of a stage, from /proc, divided by hits. What is compared takes turns.
"""

from __future__ import annotations

import time

from bench.cpu import tree_cpu_s
from bench.driver import Driver, Say
from bench.figures import Figures
from bench.rivals import Rival
from bench.stack import Cpu, paused

WARM_HITS = 4_000
WAL_BYTES = "select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"


class Saturated:
    """Adds its figures to ``figures``. ``hits``: of a pipeline run; the pixel takes a part of it."""

    def __init__(self, driver: Driver, figures: Figures, hits: int, say: Say) -> None:
        self._driver = driver
        self._stack = driver.stack
        self._figures = figures
        self._hits = hits
        self._few = max(1_000, hits // 4)
        self._say = say

    def rival(self, rival: Rival, name: str) -> None:
        """Another server on the same hits."""
        before = tree_cpu_s(rival.process.pid)
        load = self._driver.saturate_rival(rival, self._few)
        spent_us = (tree_cpu_s(rival.process.pid) - before) / load.answered * 1e6
        self._figures.add(name, spent_us)
        self._say(f"  {name} {spent_us:.1f} ({load.hits_per_s:.0f}/s)")

    def _backlog(self, name: str) -> float:
        """Hits that wait in Redis; what a hit cost the pixel and Redis, which works for nobody else meanwhile."""
        cpu = self._stack.cpu()
        load = self._driver.saturate(self._few)
        used = self._stack.cpu() - cpu
        spent_us = (used.pixel + used.redis) / load.answered * 1e6
        self._figures.add(name, spent_us)
        self._say(f"  {name} {spent_us:.1f} ({load.hits_per_s:.0f}/s, p99 {load.p99_ms:.1f} ms)")
        return spent_us

    def _recover(self, name: str) -> None:
        """From the moment the enrichers go on until the stream is empty, while the rollup follows as always."""
        began = time.monotonic()
        self._stack.wait_for_rows()
        recovery = self._few / (time.monotonic() - began)
        self._figures.add(name, recovery)
        self._say(f"  {name} {recovery:.0f}")
        self._stack.settle()

    def pixel_and_recovery(self) -> None:
        """The pixel with its Redis while the enricher stands still; then its backlog becomes rows."""
        with paused(self._stack.pid("enricher")):
            pixel_us = self._backlog("pixel_cpu_us_per_hit")
        self._recover("recovery_hits_per_s")
        # Of this round: the bare application was measured just before.
        bare_us = self._figures.last("bare_aiohttp_cpu_us_per_hit")
        self._figures.add("pixel_vs_bare_aiohttp", pixel_us / bare_us)

    def everysec_and_two_enrichers(self) -> None:
        """The same under everysec; then two enrichers take the backlog, both warm."""
        with self._stack.second_enricher() as second:
            self._driver.saturate(WARM_HITS)
            self._stack.settle()
            with paused(self._stack.pid("enricher"), second), self._stack.everysec():
                self._backlog("pixel_everysec_cpu_us_per_hit")
            self._recover("recovery_2_enrichers_hits_per_s")

    def pipeline(self) -> None:
        """All parts at once, until each hit is a row and in the rollups; hits/s are of this whole time."""
        wal = self._stack.number(WAL_BYTES)
        used, hits, per_s = self._whole_way()
        self._figures.add("wal_bytes_per_hit", (self._stack.number(WAL_BYTES) - wal) / hits)
        self._note_parts(used, hits)
        self._figures.add("pipeline_hits_per_s", per_s)

    def pipeline_everysec(self) -> None:
        """The same while Redis answers before it has written."""
        with self._stack.everysec():
            used, hits, per_s = self._whole_way()
        self._figures.add("pipeline_everysec_cpu_us_per_hit", used.whole / hits * 1e6)
        self._figures.add("pipeline_everysec_hits_per_s", per_s)

    def _whole_way(self) -> tuple[Cpu, int, float]:
        """CPU, hits, hits a second."""
        cpu = self._stack.cpu()
        load = self._driver.saturate(self._hits)
        self._stack.settle()
        per_s = load.answered / (time.monotonic() - load.begun_at)
        used = self._stack.cpu() - cpu
        self._say(
            f"  {used.whole / load.answered * 1e6:.1f} us a hit, {per_s:.0f} hits/s "
            f"(answered {load.hits_per_s:.0f}/s, p99 {load.p99_ms:.1f} ms)"
        )
        return used, load.answered, per_s

    def _note_parts(self, used: Cpu, hits: int) -> None:
        enricher = used.enricher + used.postgres_of(used.enricher_backends)
        rollup = used.rollup + used.postgres_of(used.rollup_backends)
        for name, seconds in {
            "pipeline_cpu_us_per_hit": used.whole,
            "pipeline_pixel_cpu_us_per_hit": used.pixel,
            "pipeline_redis_cpu_us_per_hit": used.redis,
            "pipeline_enricher_cpu_us_per_hit": used.enricher,
            "pipeline_rollup_cpu_us_per_hit": used.rollup,
            "pipeline_postgres_cpu_us_per_hit": used.postgres,
            "enricher_cpu_us_per_hit": enricher,
            "rollup_cpu_us_per_hit": rollup,
        }.items():
            self._figures.add(name, seconds / hits * 1e6)
