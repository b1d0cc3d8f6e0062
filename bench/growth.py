"""``make growth``: what a hit and a panel cost as there is more of everything, side by side.

More hits (GROWTH_HITS=1000000,10000000,30000000), more sites (GROWTH_SITES=1,40), more pages
(GROWTH_PAGES=5000,200000), each while the others stay as BENCH_STORED_HITS (default 10,000,000), BENCH_SITES and
BENCH_PAGES say. Data sets are kept in BENCH_CACHE: 150 bytes a hit each. It says which figure more than doubles. One
that goes up to ten million hits or more is kept for docs/performance.md.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.catalogue import ENTRIES
from bench.dataset.shape import World
from bench.driver import say
from bench.figures import AT_MANY, Figures, readable
from bench.load import BenchError
from bench.page import GATED_AT_HITS, KEPT, PAGE, write_page
from bench.settings import whole_number, whole_numbers
from bench.stack import CACHE
from bench.stored.stage import StoredStage
from tools.arguments import Argument

RESULTS = KEPT / "growth.json"
FEWEST_HITS, FEWEST_PAGES = 10_000, 100
ALLOWED = 2.0
# Below this nothing is a finding: a panel that takes 2 ms in place of 1 costs nobody anything.
LEAST = {"ms": 5.0, "us": 5.0, "bytes": 20.0}
NOT_COMPARED = ("stored_hits",)

ARGUMENTS = (
    Argument("GROWTH_HITS", "numbers of stored hits that are compared", "1000000,10000000,30000000"),
    Argument("GROWTH_SITES", "numbers of sites that are compared", "1,40"),
    Argument("GROWTH_PAGES", "numbers of pages that are compared", "5000,200000"),
    Argument("BENCH_STORED_HITS", "stored hits while something else grows", "10000000"),
    Argument("BENCH_SITES", "sites while something else grows", str(World(0).sites)),
    Argument("BENCH_PAGES", "pages while something else grows", str(World(0).pages)),
    Argument("BENCH_CACHE", "where the data sets are kept, 150 bytes a hit", "bench/cache"),
)
Measured = dict[World, dict[str, float]]


def usual() -> World:
    """The data set of the settings. Raises ``BenchError``."""
    return World(
        whole_number("BENCH_STORED_HITS", 10_000_000, FEWEST_HITS),
        whole_number("BENCH_SITES", World(0).sites),
        whole_number("BENCH_PAGES", World(0).pages, FEWEST_PAGES),
    )


def axes(base: World) -> dict[str, list[World]]:
    """What is compared, from the least to the most. Raises ``BenchError``."""
    hits = whole_numbers("GROWTH_HITS", (1_000_000, 10_000_000, 30_000_000), FEWEST_HITS)
    sites, pages = (
        whole_numbers("GROWTH_SITES", (1, 40)),
        whole_numbers("GROWTH_PAGES", (5_000, 200_000), FEWEST_PAGES),
    )
    return {
        "hits": [base._replace(hits=number) for number in hits],
        "sites": [base._replace(sites=number) for number in sites],
        "pages": [base._replace(pages=number) for number in pages],
    }


def growing(compared: dict[str, list[World]], measured: Measured) -> Iterator[str]:
    """The figures that more than double from the least to the most, in words."""
    for axis, worlds in compared.items():
        first, last = worlds[0], worlds[-1]
        for name, before in measured[first].items():
            after, entry = measured[last].get(name), ENTRIES[name]
            if after is None or name in NOT_COMPARED or after < LEAST[entry.unit]:
                continue
            if before and after / before > ALLOWED:
                grown = f"{readable(before)} to {readable(after)} {entry.unit} ({after / before:.1f} times)"
                more = f"{getattr(first, axis):,} to {getattr(last, axis):,}"
                yield f"{shown(name)} from {grown} with more {axis}: {more}"


def measure(world: World, cache: Path) -> dict[str, float]:
    """Its figures. Raises ``BenchError``."""
    figures = Figures()
    StoredStage(figures, say, lambda text: say(f"  {text}")).run(cache, world)
    return {name: figures.value(name) for name in ENTRIES if figures.has(name)}


def shown(name: str) -> str:
    """A figure's name without the number of hits, which stands above it."""
    return name.removesuffix(AT_MANY)


def column(world: World) -> str:
    """What a data set is called in a table."""
    return f"{world.hits / 1e6:g} M hits, {world.sites} sites, {world.pages:,} pages"


def write(measured: Measured, found: list[str]) -> None:
    """As docs/performance.md reads it."""
    names = [name for name in next(iter(measured.values())) if name not in NOT_COMPARED]
    kept = {
        "columns": [column(world) for world in measured],
        "figures": {name: [float(readable(values[name])) for values in measured.values()] for name in names},
        "findings": found,
    }
    RESULTS.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def table(measured: Measured) -> str:
    """Figures down, data sets across."""
    lines = [f"{number}: {column(world)}" for number, world in enumerate(measured, start=1)]
    lines.append(f"{'figure':<28}" + "".join(f"{number:>10}" for number in range(1, len(measured) + 1)))
    for name in next(iter(measured.values())):
        cells = "".join(f"{readable(values[name]):>10}" for values in measured.values())
        lines.append(f"{shown(name):<28}{cells}")
    return "\n".join(lines)


def growth() -> list[str]:
    """What more than doubles. Raises ``BenchError``."""
    compared = axes(usual())
    worlds = sorted(set(itertools.chain(*compared.values())))
    cache, measured = Path(os.environ.get("BENCH_CACHE") or CACHE), {}
    for number, world in enumerate(worlds, start=1):
        say(f"{world} ({number} of {len(worlds)})")
        measured[world] = measure(world, cache)
    found = list(growing(compared, measured))
    print(table(measured))
    if max(world.hits for world in worlds) >= GATED_AT_HITS:
        write(measured, found)
        write_page()
        say(f"written to {RESULTS} and into {PAGE}")
    return found


def main() -> int:
    """0 when nothing more than doubles; 1 with what does, or with an error that says what to do."""
    try:
        found = growth()
    except BenchError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    for finding in found:
        say(f"more than doubles: {finding}")
    if not found:
        say("nothing more than doubles")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
