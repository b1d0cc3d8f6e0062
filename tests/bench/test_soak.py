"""When something grows, and that a soak sees a stack's parts."""

from __future__ import annotations

from typing import Any

import pytest

from bench.growing import Sample, Table, findings, rows_kept, table_lines
from bench.soak import Soak
from bench.stack import SERVICES, Stack

QUIET = Sample(
    at_s=30.0, hits_per_s=1_000.0, p99_ms=5.0, cpu_us=150.0, memory_mb={"pixel": 50.0}, waiting_s=0.1, pending=2.0,
    tables={"rollup_pages": Table(1_000, 500, 5_000_000)}, wal_mb=800.0, aof_mb=50.0,
)  # fmt: skip


def over_time(**values: list[Any]) -> list[Sample]:
    """Samples that differ in these."""
    rows = zip(*values.values(), strict=True)
    return [QUIET._replace(**dict(zip(values, row, strict=True))) for row in rows]


def table(live: int, dead: int, size: int) -> dict[str, Table]:
    return {"rollup_pages": Table(live, dead, size)}


def dead_rows(*numbers: int) -> list[Sample]:
    return over_time(tables=[table(1_000, number, 1) for number in numbers])


@pytest.mark.parametrize(
    ("samples", "found"),
    [
        (over_time(p99_ms=[5, 6, 5, 7, 5, 9]), []),
        (over_time(p99_ms=[5, 6, 10, 10, 50, 60]), ["p99"]),
        (over_time(p99_ms=[90, 90, 6, 6, 6, 6]), []),
        (over_time(waiting_s=[0, 0, 0.1, 0.2, 4.0, 9.0]), ["seconds that a hit waits"]),
        (over_time(pending=[1, 1, 2, 2, 30, 60]), ["batches"]),
        (over_time(cpu_us=[150, 150, 150, 150, 170, 180]), []),
        (over_time(cpu_us=[150, 150, 150, 150, 220, 230]), ["CPU"]),
        (over_time(memory_mb=[{"pixel": mb} for mb in (20, 40, 50, 51, 52, 53)]), []),
        (over_time(memory_mb=[{"pixel": mb} for mb in (50, 60, 70, 80, 90, 100)]), ["memory of pixel"]),
        # A vacuum's memory, which comes and goes.
        (over_time(memory_mb=[{"postgres": mb} for mb in (50, 50, 50, 50, 190, 50)]), []),
        (dead_rows(0, 9_000, 30_000, 100, 31_000, 90), []),
        (dead_rows(0, 5_000, 9_000, 20_000, 30_000, 40_000), ["dead rows"]),
        (over_time(tables=[table(live, 0, live * 90) for live in (1, 10, 10**5, 2 * 10**5, 10**6, 10**7)]), []),
        (over_time(tables=[table(1_000, 0, mb * 10**6) for mb in (1, 2, 4, 8, 16, 32)]), ["size of rollup_pages"]),
        (over_time(aof_mb=[50, 300, 700, 60, 400, 70]), []),
        (over_time(aof_mb=[50, 100, 150, 200, 350, 400]), ["Redis's file"]),
    ],
)  # fmt: skip
def test_what_grows_in_the_last_third_is_named(samples: list[Sample], found: list[str]) -> None:
    said = findings(samples)
    assert len(said) == len(found), said
    assert all(text.startswith(start) for text, start in zip(said, found, strict=True))


def test_the_larger_tables_are_shown() -> None:
    lines = list(
        table_lines(
            over_time(tables=[table(1, 2, 3_000_000), {"small": Table(1, 1, 1)}, table(4, 5, 6_000_000)])
        )
    )
    assert len(lines) == 2
    assert lines[1].split() == ["rollup_pages", "4", "5", "6.0", "0", "0.0"]


def test_what_is_kept_of_a_soak_is_its_middle_and_its_end() -> None:
    rows = rows_kept(over_time(p99_ms=[1, 2, 3, 5, 8, 10]))
    assert rows["p99, ms"] == (4, 9)
    assert rows["memory of pixel, MB"] == (50, 50)
    assert rows["dead rows, all tables"] == (500, 500)


@pytest.mark.system
def test_a_soak_sees_every_part_of_a_stack(stack: Stack) -> None:
    samples = Soak(stack, rate=500, slice_s=2.0).run(2)
    for sample in samples:
        assert set(sample.memory_mb) == {*SERVICES, "redis", "postgres"}
        assert all(mb > 1 for mb in sample.memory_mb.values())
        assert 400 < sample.hits_per_s < 600
        assert sample.cpu_us > 0
        assert sample.wal_mb > 0
    assert any(name.startswith("public.rollup_") for name in samples[-1].tables)
