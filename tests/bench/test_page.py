"""docs/performance.md is what the last results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.catalogue import ENTRIES, PARTS
from bench.compare import load_results
from bench.figures import RESULTS
from bench.page import KEPT, PAGE, SOAK, judgement, kept_table, number, page, soak_table, spread_of

# Name, gate, aim: section 8 of the contract.
GATES = (
    ("pipeline_cpu_us_per_hit", 130, 95),
    ("pipeline_hits_per_s", 8_000, 12_000),
    ("hits_lost", 0, 0),
    ("pixel_cpu_us_per_hit", None, None),
    ("pixel_vs_bare_aiohttp", 1.5, 1.1),
    ("pixel_p99_ms_at_500_per_s", 5, 3),
    ("enricher_cpu_us_per_hit", None, 30),
    ("enricher_vs_copy", None, None),
    ("rollup_cpu_us_per_hit", 20, 10),
    ("hit_to_rollup_ms_p99", 2_000, 500),
    ("bytes_per_hit", 140, 100),
    ("panel_ms_p95_at_10M", 50, 20),
    ("slowest_panel_ms_at_10M", 250, 100),
    ("explore_ms_p95_at_10M", 2_000, 500),
    ("recovery_hits_per_s", 5_000, 15_000),
    ("idle_cpu_percent", 2, 1),
    ("rss_mb", 300, 200),
)


def results(**values: float | list[float]) -> dict[str, Any]:
    """Of a run that measured these."""
    figures = {}
    for name, value in values.items():
        runs = value if isinstance(value, list) else [value]
        unit = ENTRIES[name].unit if name in ENTRIES else "ms"
        figures[name] = {"value": sorted(runs)[len(runs) // 2], "unit": unit, "runs": runs}
    machine = {"cores": 2, "cpu": "X", "memory_mb": 8_000, "python": "3.12", "busy_before_percent": 1}
    return {
        "figures": figures, "machine": machine, "hits": 200_000, "repeats": 5, "measured_on": "2026-01-01",
        "notes": ["a note"],
    }  # fmt: skip


def test_the_page_is_what_the_last_results_say() -> None:
    assert PAGE.read_text("utf-8") == page(load_results(RESULTS)), "make generated"


def test_the_contract_s_figures_have_its_gates() -> None:
    assert [(name, ENTRIES[name].gate, ENTRIES[name].aim) for name, _, _ in GATES] == list(GATES)
    assert sum(len(part.figure) for part in PARTS) == len(ENTRIES)


def test_a_figure_stands_with_its_spread_and_whether_it_is_enough() -> None:
    text = page(results(pipeline_cpu_us_per_hit=[120, 100, 110], pixel_p99_ms_at_500_per_s=[6, 7.25, 8]))
    assert (
        "(`pipeline_cpu_us_per_hit`, µs) | 130 | 95 | 110 | 100–120 | gate met, aim missed by 16% |" in text
    )
    assert "(`pixel_p99_ms_at_500_per_s`, ms) | 5 | 3 | 7.25 | 6–8 | **gate missed by 45%** |" in text
    assert "2 cores (X, 8 GB)" in text
    assert "- a note" in text
    assert "Not measured by this run:" in text
    assert "`hits_lost`" in text.partition("Not measured by this run:")[2]
    assert "shorter run" not in text
    assert "shorter run" in page(results(hits_lost=0) | {"hits": 20_000})


@pytest.mark.parametrize(
    ("values", "name", "expected"),
    [
        ({"pipeline_hits_per_s": 12_000}, "pipeline_hits_per_s", "aim met"),
        ({"pipeline_hits_per_s": 7_200}, "pipeline_hits_per_s", "**gate missed by 10%**"),
        ({"hits_lost": 1}, "hits_lost", "**gate missed**"),
        ({"enricher_cpu_us_per_hit": 45}, "enricher_cpu_us_per_hit", "aim missed by 50%"),
        ({"copy_cpu_us_per_hit": 4}, "copy_cpu_us_per_hit", "–"),
        (
            {"pixel_everysec_cpu_us_per_hit": 60.0, "pixel_cpu_us_per_hit": 70.0},
            "pixel_everysec_cpu_us_per_hit",
            "beside 70: no difference (under 20%)",
        ),
    ],
)
def test_a_figure_is_judged(values: dict[str, float], name: str, expected: str) -> None:
    figures = results(**values)["figures"]
    assert judgement(ENTRIES[name], figures[name], figures, judged=True) == expected


def test_gates_beside_stored_hits_are_those_at_ten_million() -> None:
    line = "(`panel_ms_p95_at_{}M`, ms) | 50 | 20 | 15 | – | {} |"
    assert line.format("0.1", "–") in page(results(stored_hits=100_000, **{"panel_ms_p95_at_0.1M": 15}))
    assert line.format("10", "aim met") in page(results(stored_hits=10_000_000, panel_ms_p95_at_10M=15))


def test_numbers_are_short() -> None:
    assert [number(value) for value in (None, 0, 0.4, 7.8, 176.04, 25_442.4)] == [
        "–",
        "0",
        "0.4",
        "7.8",
        "176",
        "25,442",
    ]
    assert spread_of({"value": 1.0}) == "–"


def test_a_soak_that_was_kept_stands_in_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.page.SOAK", tmp_path / "soak.json")
    assert soak_table() == ""
    kept = {
        "measured_on": "2026-01-01",
        "minutes": 20,
        "rate": 2_000,
        "rows": {"p99, ms": [4.0, 4.5]},
        "findings": [],
    }
    (tmp_path / "soak.json").write_text(json.dumps(kept))
    assert "20 minutes at 2,000 hits/s" in soak_table()
    assert "| p99, ms | 4 | 4.5 |" in soak_table()
    assert soak_table().endswith("Nothing grew.")
    (tmp_path / "soak.json").write_text(json.dumps(kept | {"findings": ["memory"]}))
    assert soak_table().endswith("- grows: memory")


@pytest.mark.parametrize("name", sorted(path.stem for path in KEPT.glob("*.json") if path.name != SOAK.name))
def test_what_was_measured_once_stands_in_the_page(name: str) -> None:
    assert kept_table(name) in PAGE.read_text("utf-8")
