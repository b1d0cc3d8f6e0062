"""``make soak MINUTES=20 RATE=2000``: whether anything grows while a stack of its own takes hits for long.

Each 30 s it prints latency, cost, memory of each process, what waits, and what tables take. It fails when the last
third of the time is worse than the middle third by more than ``bench.growing`` allows, or when a hit is lost.
One of that length and rate, or more, is kept for docs/performance.md.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psycopg

from bench.cpu import private_bytes, tree_private_bytes
from bench.driver import Driver, say
from bench.growing import Sample, Table, findings, rows_kept, table_lines
from bench.load import BenchError, Load, find_wrk
from bench.page import PAGE, SOAK, write_page
from bench.settings import whole_number
from bench.stack import SERVICES, Stack, running_stack
from bench.stored import sizes
from tools.arguments import Argument

SAMPLE_S = 30.0
LOOK_BEFORE_END_S = 1.0  # of a slice: while it still runs
VISITORS_STAY_SLICES = 6  # then others come: about 3 hits of each at 2,000 a second
MINUTES, RATE = 20, 2_000
ARGUMENTS = (
    Argument("MINUTES", "how long", str(MINUTES)),
    Argument("RATE", "hits a second", str(RATE)),
)

TABLES = """-- bench: tables
select coalesce(t.schemaname || '.', '') || t.relname, t.n_live_tup, t.n_dead_tup, pg_total_relation_size(t.relid)
from pg_stat_user_tables t
"""
WAL = "select coalesce(sum(size), 0) from pg_ls_waldir()"
HEAD = (
    f"{'min':>5} {'hits/s':>7} {'p99 ms':>7} {'us/hit':>6} {'pixel':>6} {'enrich':>6} {'rollup':>6} {'redis':>6} "
    f"{'postgr':>6} {'wait s':>6} {'pend':>5} {'dead k':>7} {'tables':>7} {'WAL':>6} {'AOF':>6}  (MB)"
)


def memory_mb(stack: Stack) -> dict[str, float]:
    """Private memory by part. Of Redis without the child that rewrites its file now and then."""
    bytes_of = {name: tree_private_bytes(stack.pid(name)) for name in (*SERVICES, "postgres")}
    return {
        name: number / 1e6
        for name, number in (bytes_of | {"redis": private_bytes(stack.pid("redis"))}).items()
    }


def tables(stack: Stack) -> dict[str, Table]:
    """All of the database."""
    rows = stack.connection.execute(TABLES).fetchall()
    return {name: Table(live, dead, size) for name, live, dead, size in rows}


def folder_mb(folder: Path) -> float:
    """Of the files in a folder that are there when looked at."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total / 1e6


class Soak:
    """One run on a stack."""

    def __init__(self, stack: Stack, rate: int, slice_s: float = SAMPLE_S) -> None:
        self._stack = stack
        self._driver = Driver(stack, say)
        self._rate = rate
        self._slice_s = slice_s

    def run(self, slices: int) -> list[Sample]:
        """A sample a slice. Raises ``BenchError``."""
        say(HEAD)
        began, samples, rows = time.monotonic(), [], sizes.stored_hits(self._stack.connection)
        with ThreadPoolExecutor(1) as pool:
            for number in range(slices):
                known = number % VISITORS_STAY_SLICES > 0
                cpu = self._stack.cpu()
                load = pool.submit(self._driver.pace, self._rate, self._slice_s, known=known)
                self._wait(load)
                sample = self._look(load, time.monotonic() - began)
                sample = sample._replace(
                    cpu_us=(self._stack.cpu() - cpu).whole / load.result().answered * 1e6
                )
                samples.append(sample)
                say(line(sample))
        self._driver.note_lateness()
        self._stack.settle()
        lost = self._driver.answered - (sizes.stored_hits(self._stack.connection) - rows)
        if lost:
            raise BenchError(f"{lost:.0f} of {self._driver.answered} answered hits are not among the rows")
        return samples

    def _wait(self, load: Future[Load]) -> None:
        """Until shortly before its end, or until it failed."""
        until = time.monotonic() + self._slice_s - LOOK_BEFORE_END_S
        while time.monotonic() < until and not load.done():
            time.sleep(0.1)

    def _look(self, load: Future[Load], at_s: float) -> Sample:
        """Raises ``BenchError``."""
        stack = self._stack
        memory, found = memory_mb(stack), tables(stack)
        waiting_s, pending = stack.oldest_waiting_s(), stack.number("select count(*) from rollup_pending")
        wal_mb, aof_mb = stack.number(WAL) / 1e6, folder_mb(stack.folder / "redis")
        answers = load.result()
        return Sample(
            at_s, answers.hits_per_s, answers.p99_ms, 0.0, memory, waiting_s, pending, found, wal_mb, aof_mb
        )


def line(sample: Sample) -> str:
    """For the person who waits."""
    memory = " ".join(f"{sample.memory_mb[name]:6.0f}" for name in (*SERVICES, "redis", "postgres"))
    dead = sum(table.dead for table in sample.tables.values()) / 1000
    size = sum(table.size for table in sample.tables.values()) / 1e6
    return (
        f"{sample.at_s / 60:5.1f} {sample.hits_per_s:7.0f} {sample.p99_ms:7.1f} {sample.cpu_us:6.0f} {memory} "
        f"{sample.waiting_s:6.2f} {sample.pending:5.0f} {dead:7.0f} {size:7.0f} {sample.wal_mb:6.0f} "
        f"{sample.aof_mb:6.0f}"
    )


def soak() -> list[str]:
    """What grows. Raises ``BenchError``."""
    minutes, rate = whole_number("MINUTES", MINUTES), whole_number("RATE", RATE)
    find_wrk()
    slices = round(minutes * 60 / SAMPLE_S)
    say(f"{slices * SAMPLE_S / 60:.1f} minutes at {rate} hits/s; starting a stack")
    with running_stack() as stack:
        samples = Soak(stack, rate).run(slices)
    print("\n".join(table_lines(samples)))
    found = findings(samples)
    if minutes >= MINUTES and rate >= RATE:
        keep(samples, minutes, rate, found)
    return found


def keep(samples: list[Sample], minutes: int, rate: int, found: list[str]) -> None:
    """For docs/performance.md."""
    kept = {
        "measured_on": time.strftime("%Y-%m-%d"), "minutes": minutes, "rate": rate,
        "rows": rows_kept(samples), "findings": found,
    }  # fmt: skip
    SOAK.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")
    write_page()
    say(f"written to {SOAK} and into {PAGE}")


def main() -> int:
    """0 when nothing grows; 1 with what does, or with an error that says what to do."""
    try:
        found = soak()
    except (BenchError, psycopg.Error) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    for finding in found:
        say(f"grows: {finding}")
    if not found:
        say("nothing grows")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
