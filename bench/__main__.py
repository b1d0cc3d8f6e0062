"""``make bench``: the figures of the pipeline, on a stack of its own, and of ten million stored hits.

Prints ``name value unit``, one a line, on standard output, progress on standard error, and writes
bench/results.json and docs/performance.md, which is made of it. BENCH_RESULTS names another file for the results; the
page is then left as it is. COMPARE=other-results.json prints a comparison with those instead of the lines.

BENCH_REPEATS (default 5) is how often each is measured, for the median; what is compared takes turns.
BENCH_HITS (default 200,000) is the number of hits of one pipeline run; 20,000 makes a quick run whose figures say
little. BENCH_STORED_HITS (default 10,000,000) is how many hits the data set has, which is built once and kept in
BENCH_CACHE (default bench/cache, 1.5 GB); BENCH_SITES (3) and BENCH_PAGES (5,000) are of it. Either number of hits
may be 0, which leaves its part out; both 0: nothing is measured, and the last results are compared.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from bench.compare import compare, load_results, table, warnings
from bench.dataset.shape import World
from bench.driver import say
from bench.figures import RESULTS, Figures, write_results
from bench.load import BenchError, find_wrk
from bench.machine import busy_share, describe
from bench.page import FULL_HITS, FULL_REPEATS, GATED_AT_HITS, write_page
from bench.settings import whole_number
from bench.stack import CACHE, running_stack
from bench.stages import Bench
from bench.stored.stage import StoredStage
from tools.arguments import Argument

FEWEST_HITS, FEWEST_STORED, FEWEST_PAGES = 4_000, 10_000, 100  # that say anything
BUSY = 0.15
ARGUMENTS = (
    Argument("COMPARE", "other results, which are printed beside these"),
    Argument("BENCH_REPEATS", "how often each figure is measured, for the median", str(FULL_REPEATS)),
    Argument("BENCH_HITS", "hits of one run of the pipeline; 0: leave it out", str(FULL_HITS)),
    Argument("BENCH_STORED_HITS", "hits of the stored data set; 0: leave it out", str(GATED_AT_HITS)),
    Argument("BENCH_SITES", "sites of the data set", str(World(0).sites)),
    Argument("BENCH_PAGES", "pages of the data set", str(World(0).pages)),
    Argument("BENCH_CACHE", "where the data set is kept, 1.5 GB", "bench/cache"),
    Argument("BENCH_RESULTS", "where the results go", "bench/results.json"),
)


def results_path() -> Path:
    """Where the results go."""
    return Path(os.environ.get("BENCH_RESULTS") or RESULTS)


class Run:
    """One run of what is wanted."""

    def __init__(self) -> None:
        self.hits = whole_number("BENCH_HITS", FULL_HITS, FEWEST_HITS, or_none=True)
        self.world = World(
            whole_number("BENCH_STORED_HITS", GATED_AT_HITS, FEWEST_STORED, or_none=True),
            whole_number("BENCH_SITES", World(0).sites),
            whole_number("BENCH_PAGES", World(0).pages, FEWEST_PAGES),
        )
        self.repeats = whole_number("BENCH_REPEATS", FULL_REPEATS)
        self.figures = Figures()
        self.notes: list[str] = []
        self.versions: dict[str, str] = {}

    def note(self, text: str) -> None:
        """What is to stand beside the figures."""
        say(f"  {text}")
        self.notes.append(text)

    def measure(self) -> None:
        """Raises ``BenchError``."""
        if self.hits:
            find_wrk()
            with running_stack() as stack:
                self.versions = stack.versions()
                Bench(
                    stack, self.figures, self.hits, say, self.note,
                    repeats=self.repeats, with_data_set=self.world.hits > 0,
                ).run()  # fmt: skip
        if self.world.hits:
            cache = Path(os.environ.get("BENCH_CACHE") or CACHE)
            self.versions["postgresql"] = StoredStage(self.figures, say, self.note).run(cache, self.world)


def measure() -> None:
    """Raises ``BenchError``."""
    run = Run()
    other = os.environ.get("COMPARE")
    before = load_results(Path(other)) if other else None  # a wrong name is said now, not at the end
    if run.hits or run.world.hits:
        write(run)
    elif before is None:
        raise BenchError(
            "BENCH_HITS and BENCH_STORED_HITS are 0: nothing is measured; COMPARE= names what to compare"
        )
    if before is None:
        for line in run.figures.lines():
            print(line)
        return
    after = load_results(results_path())
    for warning in warnings(before, after):
        say(warning)
    print(table(compare(before, after)))


def write(run: Run) -> None:
    """Measure and write. Raises ``BenchError``."""
    if not sys.platform.startswith("linux"):
        raise BenchError("make bench reads CPU times from /proc and runs on Linux only")
    began = time.monotonic()
    busy = busy_share(2.0)
    if busy > BUSY:
        say(f"others keep this machine {busy:.0%} busy: the figures will be worse than they are")
    run.measure()
    machine = describe(run.versions) | {"busy_before_percent": round(busy * 100)}
    say("  ".join(f"{name} {value}" for name, value in machine.items()))
    about: dict[str, str | int] = {
        "measured_on": time.strftime("%Y-%m-%d"), "hits": run.hits, "repeats": run.repeats,
    }  # fmt: skip
    path = results_path()
    write_results(path, run.figures, machine, about, run.notes)
    if path == RESULTS:
        write_page()
    say(f"written to {path} after {time.monotonic() - began:.0f} s")


def main() -> int:
    """0, or 1 with an error that says what to do."""
    try:
        measure()
    except BenchError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
