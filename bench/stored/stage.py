"""The stage that measures at ten million stored hits, or as many as BENCH_STORED_HITS says."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg

from bench.dataset.cache import Cache
from bench.dataset.server import running_postgres
from bench.dataset.shape import World
from bench.figures import Figures
from bench.load import BenchError
from bench.stored import new_hits, sizes
from bench.stored.questions import (
    RANGES,
    Question,
    explore_questions,
    panel_questions,
    view_questions,
)
from bench.stored.timing import Summary, summary_of, time_questions
from services.migrate.__main__ import MIGRATIONS
from services.migrate.runner import migrate

EXPLORED = {"30 days": RANGES["30 days"]}

Say = Callable[[str], None]


class StoredStage:
    """Adds its figures to ``figures``; ``note`` is told what stands beside them in the results."""

    def __init__(self, figures: Figures, say: Say, note: Say) -> None:
        self._figures = figures
        self._say = say
        self._note = note

    def run(self, cache: Path, world: World) -> str:
        """All of it, on a copy of the data set; the server's version. Raises ``BenchError``."""
        with (
            Cache(cache, self._say).borrowed(world) as (binaries, folder),
            running_postgres(binaries, folder) as url,
        ):
            return self.measure(url)

    def measure(self, url: str) -> str:
        """The same in a database, to which hits are added. Raises ``BenchError``."""
        try:
            with closing(psycopg.connect(url, autocommit=True)) as connection:
                self._sizes(connection)
                version = str(connection.info.parameter_status("server_version"))
            self._questions(url)
            self._new_hits(url)
        except psycopg.Error as error:
            raise BenchError(f"the data set: {error}") from error
        return version

    def _sizes(self, connection: psycopg.Connection[object]) -> None:
        hits = sizes.stored_hits(connection)
        self._figures.add("stored_hits", hits)
        self._figures.add("bytes_per_hit", sizes.hits_bytes(connection) / hits)
        self._figures.add("rollup_bytes_per_hit", sizes.rollups_bytes(connection) / hits)

    def _questions(self, url: str) -> None:
        panels = self._ask("panels", url, panel_questions())
        self._figures.add("panel_ms_p50_at_10M", panels.p50)
        self._figures.add("panel_ms_p95_at_10M", panels.p95)
        self._figures.add("slowest_panel_ms_at_10M", panels.slowest)
        views = self._ask("reporting views", url, view_questions())
        self._figures.add("view_ms_p95_at_10M", views.p95)
        self._figures.add("slowest_view_ms_at_10M", views.slowest)
        explored = self._ask("exploring", url, explore_questions(), EXPLORED)
        self._figures.add("explore_ms_p95_at_10M", explored.p95)

    def _ask(
        self, what: str, url: str, questions: list[Question], ranges: dict[str, timedelta] = RANGES
    ) -> Summary:
        """Raises ``BenchError``."""
        self._say(f"{what}: {len(questions)} questions, {', '.join(ranges)}")
        found = summary_of(time_questions(url, questions, ranges))
        self._note(f"{what}: p50 {found.p50:.1f}, p95 {found.p95:.0f} ms; the slowest: {found.words}")
        if found.empty:
            self._note(f"{what} without a row: {', '.join(found.empty)}")
        return found

    def _new_hits(self, url: str) -> None:
        self._say("new hits, into a database of many and into an empty one")
        with closing(psycopg.connect(url, autocommit=True)) as connection:
            hits = new_hits.sample(connection)
        full, empty = new_hits.measure([url, _migrated(url)], hits)
        for name, measured in (
            ("new_hit_cpu_us_at_10M", full.whole_us),
            ("new_hit_cpu_us_when_empty", empty.whole_us),
            ("hit_counted_ms_at_10M", full.counted_ms),
        ):
            for value in measured:
                self._figures.add(name, value)
        for where, costs in (("beside many", full), ("when empty", empty)):
            store_us, refresh_us, counted_ms = map(statistics.median, costs)
            self._note(
                f"a new hit {where}: {store_us:.1f} us to store, {refresh_us:.1f} us to count;"
                f" {new_hits.FEW_HITS} stored and counted in {counted_ms:.0f} ms"
            )


def _migrated(url: str) -> str:
    """The address of a new, empty database on the server."""
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        connection.execute("create database empty")
    empty = f"{url.rpartition('/')[0]}/empty"
    with closing(psycopg.connect(empty, autocommit=True)) as connection:
        migrate(connection, MIGRATIONS)
    return empty
