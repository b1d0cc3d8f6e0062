"""The measurements, each a function of a running stack. What each figure means stands at its function.

CPU is user and system time of all processes of a stage, from /proc, divided by hits.
"""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable

import psycopg

from bench.cpu import own_cpu_s, tree_cpu_s
from bench.enrichment import measure_enrichment, raw_hits
from bench.figures import Figures, percentile
from bench.load import BenchError, Load, drive
from bench.paced import Answer, pace
from bench.promises import ledger_us, sealing_us
from bench.stack import COUNTRY_DATABASE, Cpu, Stack, running_bare
from bench.stored import sizes
from bench.traffic import SITE, make_traffic
from services.settings import load_settings

Say = Callable[[str], None]

P99_HITS_A_SECOND, P99_SECONDS = 500, 10
ROLLUP_HITS_A_SECOND, ROLLUP_SECONDS = 1_000, 8
LOOK_AT_VIEW_EVERY_S = 0.01
IDLE_S = 15.0
REPEATS = 3
LONGEST_STAGE_S = 150.0  # two such stages, and the others at their usual length, are eight minutes
COPY_ROWS = 100_000
COPY_BLOCK_BYTES = 1 << 16
# The day with the most hits: open, with its indexes.
TODAY = b"select tableoid::regclass::text from stored_hits group by tableoid order by count(*) desc limit 1"


class Bench:
    """Measures on one stack; counts every answer, so that at the end none may be missing among the rows."""

    def __init__(
        self, stack: Stack, figures: Figures, hits: int, say: Say, note: Say, *, with_data_set: bool
    ) -> None:
        self.stack = stack
        self.hits = hits  # of a pipeline run; the other stages take a part of it
        self.figures = figures
        self._say = say
        self._note = note  # is told what makes a figure worth less
        self._with_data_set = with_data_set
        self._answered = 0
        self._part = 0

    def _next_part(self) -> int:
        self._part += 1
        return self._part

    def _drive_stack(self, hits: int) -> Load:
        """Hits of visitors not seen before, to the stack's pixel. Raises ``BenchError``."""
        part = self._next_part()
        load = drive(self.stack.port, make_traffic(part), part, hits, self.stack.folder, self.stack.lives)
        self._answered += load.answered
        if load.refused + load.broken:
            self._note(f"{load.refused} hits refused, {load.broken} connections broken")
        return load

    def warm_up(self) -> None:
        """Caches and plans as they are in a stack that has run for a while. In no figure."""
        self._drive_stack(max(2_000, self.hits // 20))
        self.stack.settle()

    def pixel_and_recovery(self, port: int, bare_process: subprocess.Popen[bytes]) -> None:
        """The pixel alone (with its Redis) against a bare application; then the backlog becomes rows.

        The enricher stands still, so that Redis works for the pixel only. recovery_hits_per_s: from its SIGCONT
        until the stream is empty, while the rollup follows as always.
        """
        hits = max(1_000, self.hits // 4)
        part = self._next_part()
        before = tree_cpu_s(bare_process.pid)
        bare = drive(
            port, make_traffic(part), part, hits, self.stack.folder, lambda: bare_process.poll() is None
        )
        bare_us = (tree_cpu_s(bare_process.pid) - before) / bare.answered * 1e6
        with self.stack.paused("enricher"):
            cpu = self.stack.cpu()
            load = self._drive_stack(hits)
            used = self.stack.cpu() - cpu
        began = time.monotonic()
        self.stack.wait_for_rows()
        recovery = load.answered / (time.monotonic() - began)
        pixel_us = (used.pixel + used.redis) / load.answered * 1e6
        self.figures.add("pixel_cpu_us_per_hit", pixel_us)
        self.figures.add("bare_aiohttp_cpu_us_per_hit", bare_us)
        self.figures.add("pixel_vs_bare_aiohttp", pixel_us / bare_us)
        self.figures.add("recovery_hits_per_s", recovery)
        self._say(
            f"  pixel {pixel_us:.1f} us ({load.hits_per_s:.0f}/s, p99 {load.p99_ms:.1f} ms), "
            f"bare {bare_us:.1f} us ({bare.hits_per_s:.0f}/s), recovery {recovery:.0f}/s"
        )
        self.stack.settle()

    def pipeline(self) -> None:
        """All parts at once, as fast as the pixel answers, until each hit is a row and in the rollups.

        pipeline_hits_per_s counts the whole time, from the first request to the last rollup.
        """
        cpu = self.stack.cpu()
        load = self._drive_stack(self.hits)
        self.stack.settle()
        seconds = time.monotonic() - load.begun_at
        used = self.stack.cpu() - cpu
        self._note_pipeline(used, load.answered)
        self.figures.add("pipeline_hits_per_s", load.answered / seconds)
        self._say(
            f"  {used.whole / load.answered * 1e6:.1f} us a hit, {load.answered / seconds:.0f} hits/s "
            f"(answered {load.hits_per_s:.0f}/s, p99 {load.p99_ms:.1f} ms)"
        )

    def _note_pipeline(self, used: Cpu, hits: int) -> None:
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
            self.figures.add(name, seconds / hits * 1e6)

    def _pace(self, site: str, hits_a_second: float, seconds: float, *, bots: bool = True) -> list[Answer]:
        part = self._next_part()
        requests = make_traffic(part, site, bots).requests(part, f"127.0.0.1:{self.stack.port}")
        answers = pace(self.stack.port, requests, hits_a_second, seconds)
        accepted = sum(answer.status < 400 for answer in answers)
        self._answered += accepted
        if accepted < len(answers):
            raise BenchError(
                f"{len(answers) - accepted} of {len(answers)} hits at {hits_a_second:.0f}/s were refused"
            )
        late_ms = percentile((answer.late_s for answer in answers), 0.99) * 1000
        if late_ms > 5:
            self._note(
                f"at {hits_a_second:.0f}/s the client itself was late by {late_ms:.1f} ms (p99): a busy machine"
            )
        return answers

    def pixel_latency(self) -> None:
        """From a request's sending to its complete answer, evenly spaced, whole stack running."""
        answers = self._pace(SITE, P99_HITS_A_SECOND, P99_SECONDS)
        taken_ms = [(answer.answered_at - answer.sent_at) * 1000 for answer in answers]
        p99 = percentile(taken_ms, 0.99)
        self.figures.add("pixel_p99_ms_at_500_per_s", p99)
        self._say(f"  p50 {percentile(taken_ms, 0.5):.2f} ms, p99 {p99:.2f} ms, max {max(taken_ms):.1f} ms")
        self.stack.settle()

    def hit_to_rollup(self) -> None:
        """From the n-th answer until the view daily_traffic says n pageviews (of a site that gets no other hits)."""
        site = f"latency{self._part}.example"
        seen: list[tuple[float, int]] = []
        ended = threading.Event()
        with self.stack.connect() as connection:
            watching = threading.Thread(target=watch_view, args=(connection, site, seen, ended))
            watching.start()
            try:
                answers = self._pace(site, ROLLUP_HITS_A_SECOND, ROLLUP_SECONDS, bots=False)
                self.stack.settle()
            finally:
                time.sleep(5 * LOOK_AT_VIEW_EVERY_S)
                ended.set()
                watching.join()
        delays_ms = [1000 * delay for delay in view_delays_s([a.answered_at for a in answers], seen)]
        if len(delays_ms) < len(answers):
            raise BenchError(f"the view shows {len(delays_ms)} of {len(answers)} pageviews")
        p99 = percentile(delays_ms, 0.99)
        self.figures.add("hit_to_rollup_ms_p99", p99)
        self._say(f"  p50 {percentile(delays_ms, 0.5):.0f} ms, p99 {p99:.0f} ms, max {max(delays_ms):.0f} ms")

    def idle(self) -> None:
        """No hit comes; memory as it is after the load. Of one core; the three services without the servers."""
        time.sleep(3)
        before, began = self.stack.services_cpu_s(), time.monotonic()
        time.sleep(IDLE_S)
        spent = self.stack.services_cpu_s() - before
        self.figures.add("idle_cpu_percent", 100 * spent / (time.monotonic() - began))
        self.figures.add("rss_mb", self.stack.services_rss_bytes() / 1e6)

    def storage(self) -> None:
        """hits_lost, and the disk that a hit takes as it is, on an open day with all its indexes.

        Where the data set is measured, its bytes count instead.
        """
        rows = sizes.stored_hits(self.stack.connection)
        counted = self.stack.number("select sum(pageviews + bot_hits) from daily_traffic")
        if counted != rows:
            self._note(f"the rollups count {counted:.0f} of {rows:.0f} hits")
        self.figures.add("hits_lost", self._answered - rows)
        if not self._with_data_set:
            self.figures.add("stored_hits", rows)
            self.figures.add("bytes_per_hit", sizes.hits_bytes(self.stack.connection) / rows)

    def enrichment(self) -> None:
        """Enriching alone, in a process of one thread: without unsealing, reading and writing."""
        hit_us, agent_us = measure_enrichment(make_traffic(self._next_part()), COUNTRY_DATABASE)
        self.figures.add("enrich_cpu_us_per_hit", hit_us)
        self.figures.add("known_agent_cpu_us", agent_us)

    def promises(self) -> None:
        """What sealing and the ledger add to a hit; both are in the figures of the pipeline."""
        hits = raw_hits(make_traffic(self._next_part()), load_settings({}), 20_000)
        self.figures.add("sealing_cpu_us_per_hit", sealing_us(hits))
        self.figures.add("sealing_alone_cpu_us_per_hit", sealing_us(hits, 1))
        self.figures.add("ledger_cpu_us_per_hit", ledger_us(self.stack.connect))

    def copy_floor(self) -> None:
        """The least that storing costs: rows of hits, encoded already, by one COPY BINARY into a table like today's.

        Client and its backend, one transaction; unlike the enricher's way, a row that is there already fails it, and
        the texts that a hit names by number are there.
        """
        with self.stack.connect() as connection:
            connection.execute("create schema bench")
            row = connection.execute(TODAY).fetchone()
            connection.execute(
                f"create table bench.hits (like {row[0] if row else None} including all)".encode()
            )
            with (
                connection.cursor() as cursor,
                cursor.copy(
                    f"copy (select * from stored_hits limit {COPY_ROWS}) to stdout (format binary)".encode()
                ) as copy,
            ):
                data = b"".join(copy)
            for _ in range(3):
                self.figures.add("copy_cpu_us_per_hit", copy_in(connection, data))
            connection.execute("drop schema bench cascade")
        floor = self.figures.value("copy_cpu_us_per_hit")
        self.figures.add("enricher_vs_copy", self.figures.value("enricher_cpu_us_per_hit") / floor)

    def _repeat(self, what: str, measure: Callable[[], None]) -> None:
        """Three times, for the median; fewer where the machine is so slow that the whole would take too long."""
        began = time.monotonic()
        for number in range(1, REPEATS + 1):
            self._say(f"{what} ({number} of {REPEATS})")
            measure()
            spent = time.monotonic() - began
            if number < REPEATS and spent / number * (number + 1) > LONGEST_STAGE_S:
                self._note(f"{what}: only {number} of {REPEATS} on a slow machine")
                break

    def run(self) -> None:
        """All of it. Raises ``BenchError``."""
        self._say("warming up")
        self.warm_up()
        with running_bare() as (port, process):
            self._repeat(
                "pixel alone, bare aiohttp, recovery", lambda: self.pixel_and_recovery(port, process)
            )
        self._repeat(f"pipeline, {self.hits} hits", self.pipeline)
        self._repeat(f"latency at {P99_HITS_A_SECOND}/s", self.pixel_latency)
        self._repeat(f"hit to rollup at {ROLLUP_HITS_A_SECOND}/s", self.hit_to_rollup)
        self._say("idle")
        self.idle()
        self._say("rows and disk")
        self.storage()
        self._repeat("enriching alone", self.enrichment)
        self._repeat("sealing and ledger", self.promises)
        self._say("plain COPY")
        self.copy_floor()


def copy_in(connection: psycopg.Connection[object], data: bytes) -> float:
    """Microseconds of CPU a row, of this process and its backend."""
    connection.execute("truncate bench.hits")
    backend = connection.info.backend_pid
    before = own_cpu_s(backend) + time.process_time()
    with connection.cursor() as cursor:
        with cursor.copy("copy bench.hits from stdin (format binary)") as copy:
            for start in range(0, len(data), COPY_BLOCK_BYTES):
                copy.write(data[start : start + COPY_BLOCK_BYTES])
        rows = cursor.rowcount
    return (own_cpu_s(backend) + time.process_time() - before) / rows * 1e6


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


def view_delays_s(answered_at: list[float], seen: list[tuple[float, int]]) -> list[float]:
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
