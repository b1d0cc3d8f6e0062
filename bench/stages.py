"""The stages on a running stack, in their order. What is compared takes turns: A B A B, not A A B B."""

from __future__ import annotations

import time
from collections.abc import Callable

from bench.connections import Connections, proxies
from bench.driver import Driver, Say
from bench.enrichment import measure_enrichment, raw_hits
from bench.figures import Figures
from bench.floors import copy_floor, xadd_us
from bench.promises import ledger_us, sealing_us
from bench.rivals import running_bare, running_nginx_gif
from bench.saturated import Saturated
from bench.stack import COUNTRY_DATABASE, Stack
from bench.steady import Steady
from bench.stored import sizes
from services.settings import load_settings

LONGEST_STAGE_S = 420.0  # the pipeline's at 5 repeats takes 250 s where the machine is free
BOTS_LEAST, BOTS_MOST = 0.04, 0.06  # of the hits; 5 % are ordered


class Bench:
    """Measures on one stack. ``repeats``: of each figure, whose median counts."""

    def __init__(
        self,
        stack: Stack,
        figures: Figures,
        hits: int,
        say: Say,
        note: Say,
        *,
        repeats: int,
        with_data_set: bool,
    ) -> None:
        self.stack = stack
        self.figures = figures
        self.driver = Driver(stack, note)
        self._saturated = Saturated(self.driver, figures, hits, say)
        self._steady = Steady(self.driver, figures, say)
        self._connections = Connections(self.driver, figures, max(1_000, hits // 20), say)
        self._hits = hits
        self._repeats = repeats
        self._say = say
        self._note = note  # is told what makes a figure worth less
        self._with_data_set = with_data_set

    def run(self) -> None:
        """All of it. Raises ``BenchError``."""
        self.figures.add("start_to_ready_s", self.stack.ready_s)
        self._say("warming up")
        self.driver.saturate(max(4_000, self._hits // 20))  # caches and plans as after a while
        self.stack.settle()
        self.pixel()
        self.pipeline()
        self._repeat("latency", self.latency)
        self._repeat("hit to rollup", self._steady.hit_to_rollup)
        self.driver.note_lateness()
        self.new_connections()
        self._repeat("idle", self._steady.idle)
        self._say("rows and disk")
        self.storage()
        self._repeat("enriching, sealing, ledger", self.alone)

    def _repeat(self, what: str, measure: Callable[[], None]) -> None:
        """So many rounds, for the median; fewer where the machine is so slow that the whole would take too long."""
        began = time.monotonic()
        for number in range(1, self._repeats + 1):
            self._say(f"{what} ({number} of {self._repeats})")
            measure()
            spent = time.monotonic() - began
            if number < self._repeats and spent / number * (number + 1) > LONGEST_STAGE_S:
                self._note(f"{what}: only {number} of {self._repeats} on a slow machine")
                break

    def pixel(self) -> None:
        """The pixel beside what it is held against; its backlogs are what enrichers recover from."""
        with running_bare() as bare, running_nginx_gif() as nginx:
            if nginx is None:
                self._note("no nginx on the PATH (Debian: nginx-light): its figure is left out")

            def one_round() -> None:
                self._saturated.rival(bare, "bare_aiohttp_cpu_us_per_hit")
                self._saturated.pixel_and_recovery()
                if nginx:
                    self._saturated.rival(nginx, "nginx_empty_gif_cpu_us_per_hit")
                self._saturated.everysec_and_two_enrichers()
                self.figures.add("redis_xadd_cpu_us", xadd_us(self.stack))

            self._repeat("pixel and recovery", one_round)

    def pipeline(self) -> None:
        """The whole way, the floor of storing beside it."""
        with copy_floor(self.stack) as floor:

            def one_round() -> None:
                self._saturated.pipeline()
                floor.measure(self.figures)
                self._saturated.pipeline_everysec()

            self._repeat(f"pipeline, {self._hits} hits", one_round)

    def latency(self) -> None:
        """One round."""
        self._steady.latency(500, "pixel_p99_ms_at_500_per_s")
        self._steady.latency_everysec()
        self._steady.latency(3_000, "pixel_p99_ms_at_3000_per_s")

    def new_connections(self) -> None:
        """Without a proxy and behind each that is there."""
        with running_bare() as bare, proxies(self.stack.port, self._note) as found:

            def one_round() -> None:
                self._connections.bare(bare)
                self._connections.pixel()
                for name, proxy in found.items():
                    self._connections.pixel(proxy, f"pixel_behind_{name}")

            self._repeat("a new connection for each hit", one_round)

    def storage(self) -> None:
        """hits_lost, and the disk that a hit takes as it is, on an open day with all its indexes.

        Where the data set is measured, its bytes count instead.
        """
        rows = sizes.stored_hits(self.stack.connection)
        counted = self.stack.number("select sum(pageviews + bot_hits) from daily_traffic")
        if counted != rows:
            self._note(f"the rollups count {counted:.0f} of {rows:.0f} hits")
        # The sites of hit_to_rollup have none.
        bots = self.stack.number("select avg(is_bot::int) from hits where site = 'blog.example'")
        if not BOTS_LEAST < bots < BOTS_MOST:
            self._note(f"{bots:.1%} of the hits are bots', not 5 %")
        self.figures.add("hits_lost", self.driver.answered - rows)
        if not self._with_data_set:
            self.figures.add("stored_hits", rows)
            self.figures.add("bytes_per_hit", sizes.hits_bytes(self.stack.connection) / rows)

    def alone(self) -> None:
        """One round of what has no load: enriching in a process of one thread, sealing, the ledger."""
        traffic = self.driver.traffic()
        hit_us, agent_us = measure_enrichment(traffic, COUNTRY_DATABASE)
        self.figures.add("enrich_cpu_us_per_hit", hit_us)
        self.figures.add("known_agent_cpu_us", agent_us)
        hits = raw_hits(traffic, load_settings({}), 20_000)
        self.figures.add("sealing_cpu_us_per_hit", sealing_us(hits))
        self.figures.add("sealing_alone_cpu_us_per_hit", sealing_us(hits, 1))
        self.figures.add("ledger_cpu_us_per_hit", ledger_us(self.stack.connect))
