"""``make bench``: the figures of the pipeline, measured on a stack of its own.

Prints ``name value unit``, one a line, on standard output, progress on standard error, and writes
bench/results.json. BENCH_HITS (default 200,000) is the number of hits of one pipeline run; 20,000 makes a quick run
whose figures say little.
"""

from __future__ import annotations

import os
import sys
import time

from bench.figures import RESULTS, write_results
from bench.load import BenchError, find_wrk
from bench.machine import busy_share, describe
from bench.stack import running_stack
from bench.stages import Bench

DEFAULT_HITS = 200_000
FEWEST_HITS = 4_000
BUSY = 0.15


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def hits_wanted() -> int:
    """BENCH_HITS. Raises ``BenchError``."""
    text = os.environ.get("BENCH_HITS") or str(DEFAULT_HITS)
    if not text.isdecimal() or int(text) < FEWEST_HITS:
        raise BenchError(f"BENCH_HITS: {text!r} is not a number of hits from {FEWEST_HITS} up")
    return int(text)


def measure() -> None:
    """Raises ``BenchError``."""
    hits = hits_wanted()
    find_wrk()
    if not sys.platform.startswith("linux"):
        raise BenchError("make bench reads CPU times from /proc and runs on Linux only")
    began = time.monotonic()
    busy = busy_share(2.0)
    if busy > BUSY:
        say(f"others keep this machine {busy:.0%} busy: the figures will be worse than they are")
    with running_stack() as stack:
        machine = describe(stack.versions()) | {"busy_before_percent": round(busy * 100)}
        say("  ".join(f"{name} {value}" for name, value in machine.items()))
        bench = Bench(stack, hits, say)
        figures = bench.run()
    write_results(figures, machine, hits, bench.notes)
    say(f"written to {RESULTS.relative_to(RESULTS.parents[1])} after {time.monotonic() - began:.0f} s")
    for line in figures.lines():
        print(line)


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
