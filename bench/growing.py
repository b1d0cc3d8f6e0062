"""Whether what was looked at again and again grows: the last third of the samples against the middle one.

The first third is left out: caches fill, plans are made, the first vacuum comes.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Table(NamedTuple):
    """A table, as PostgreSQL counts it."""

    live: int
    dead: int
    size: int  # bytes, with its indexes


class Sample(NamedTuple):
    """What was seen at one moment."""

    at_s: float
    hits_per_s: float
    p99_ms: float
    cpu_us: float  # a hit, all parts
    memory_mb: dict[str, float]
    waiting_s: float  # how long the oldest hit on the stream has waited
    pending: float  # batches that the rollup has not counted
    tables: dict[str, Table]
    wal_mb: float
    aof_mb: float


# Growth by less than this share, or to less than this, is none. What comes in waves (a vacuum's memory, dead rows
# until the next vacuum, a file until it is rewritten) is judged by its least in a third, the rest by its median.
LIMITS: tuple[tuple[str, float, float, Callable[[list[float]], float], Callable[[Sample], float]], ...] = (
    ("p99 in ms", 1.0, 20.0, statistics.median, lambda sample: sample.p99_ms),
    ("CPU in us a hit", 0.3, 50.0, statistics.median, lambda sample: sample.cpu_us),
    ("seconds that a hit waits", 1.0, 1.0, statistics.median, lambda sample: sample.waiting_s),
    ("batches to be counted", 1.0, 20.0, statistics.median, lambda sample: sample.pending),
    ("Redis's file in MB", 0.5, 200.0, min, lambda sample: sample.aof_mb),
    ("WAL in MB", 0.5, 1_200.0, min, lambda sample: sample.wal_mb),  # max_wal_size is 1 GB
)
MEMORY_SHARE, MEMORY_LEAST_MB = 0.15, 10.0  # growth by at least so much of it and so many
DEAD_SHARE, DEAD_LEAST, DEAD_OF_ALL = 0.5, 20_000, 0.2
BLOAT_SHARE, BLOAT_LEAST_BYTES, FEW_MORE_ROWS = 0.5, 10_000_000, 0.1
SHOWN_BYTES = 1_000_000


def thirds(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The middle and the last."""
    size = max(1, len(samples) // 3)
    return samples[-2 * size : -size], samples[-size:]


def findings(samples: list[Sample]) -> list[str]:
    """What grows, in words; empty when nothing does."""
    middle, last = thirds(samples)
    return [*_scalars(middle, last), *_memory(middle, last), *_tables(middle, last)]


def _scalars(middle: list[Sample], last: list[Sample]) -> Iterator[str]:
    for name, share, least, of_third, value in LIMITS:
        before, after = (of_third([value(sample) for sample in third]) for third in (middle, last))
        if after > before * (1 + share) and after > least:
            yield f"{name}: {before:.1f}, then {after:.1f}"


def _memory(middle: list[Sample], last: list[Sample]) -> Iterator[str]:
    for name in last[-1].memory_mb:
        before, after = (min(sample.memory_mb[name] for sample in third) for third in (middle, last))
        if after - before > max(before * MEMORY_SHARE, MEMORY_LEAST_MB):
            yield f"memory of {name} in MB: {before:.0f}, then {after:.0f}"


def _tables(middle: list[Sample], last: list[Sample]) -> Iterator[str]:
    for name, now in last[-1].tables.items():
        seen = [sample.tables[name] for sample in middle if name in sample.tables]
        lately = [sample.tables[name] for sample in last if name in sample.tables]
        if not seen:
            continue
        before, after = min(table.dead for table in seen), min(table.dead for table in lately)
        share = after / max(1, now.live + after)
        if after > max(before * (1 + DEAD_SHARE), DEAD_LEAST) and share > DEAD_OF_ALL:
            yield f"dead rows of {name}: {before}, then {after}, {share:.0%} of all"
        first = seen[0]
        grown, more_rows = now.size - first.size, now.live > first.live * (1 + FEW_MORE_ROWS)
        if grown > max(first.size * BLOAT_SHARE, BLOAT_LEAST_BYTES) and not more_rows:
            yield f"size of {name} in MB: {first.size / 1e6:.0f}, then {now.size / 1e6:.0f}, with as many rows"


def rows_kept(samples: list[Sample]) -> dict[str, tuple[float, float]]:
    """What is shown of a soak: by name, the median of the middle third and of the last."""
    shown: dict[str, Callable[[Sample], float]] = {
        "hits/s": lambda sample: sample.hits_per_s,
        "p99, ms": lambda sample: sample.p99_ms,
        "CPU, µs a hit": lambda sample: sample.cpu_us,
        "the oldest hit on the stream waits, s": lambda sample: sample.waiting_s,
        "batches not counted": lambda sample: sample.pending,
        "dead rows, all tables": lambda sample: sum(table.dead for table in sample.tables.values()),
        "tables but the hits, MB": _other_tables_mb,
        "Redis's file, MB": lambda sample: sample.aof_mb,
        "WAL, MB": lambda sample: sample.wal_mb,
    }
    middle, last = thirds(samples)
    rows = {name: (_median(value, middle), _median(value, last)) for name, value in shown.items()}
    for name in samples[-1].memory_mb:
        before, after = ([sample.memory_mb[name] for sample in third] for third in (middle, last))
        rows[f"memory of {name}, MB"] = (statistics.median(before), statistics.median(after))
    return rows


def _median(value: Callable[[Sample], float], samples: list[Sample]) -> float:
    return statistics.median(map(value, samples))


def _other_tables_mb(sample: Sample) -> float:
    return sum(table.size for name, table in sample.tables.items() if not name.startswith("hits_days.")) / 1e6


def table_lines(samples: list[Sample]) -> Iterator[str]:
    """The larger tables at the middle and at the end."""
    middle, last = samples[len(samples) // 2], samples[-1]
    yield f"{'table':<34} {'live':>9} {'dead':>8} {'MB':>7} {'dead before':>11} {'MB before':>9}"
    for name, table in sorted(last.tables.items(), key=lambda item: -item[1].size):
        if table.size >= SHOWN_BYTES:
            before = middle.tables.get(name, Table(0, 0, 0))
            yield (
                f"{name:<34} {table.live:>9} {table.dead:>8} {table.size / 1e6:>7.1f} "
                f"{before.dead:>11} {before.size / 1e6:>9.1f}"
            )
