"""When two results differ, and when they do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.compare import compare, load_results, table, verdict, warnings
from bench.load import BenchError


def figure(*runs: float, unit: str = "us") -> dict[str, Any]:
    value = sorted(runs)[len(runs) // 2]
    return {"value": value, "unit": unit} | ({"runs": list(runs)} if len(runs) > 1 else {})


@pytest.mark.parametrize(
    ("name", "before", "after", "expected"),
    [
        ("pixel_cpu_us_per_hit", figure(100, 101, 102), figure(82, 83, 81), "no difference (under 20%)"),
        ("pixel_cpu_us_per_hit", figure(100, 101, 102), figure(118, 119, 121), "no difference (under 20%)"),
        ("pixel_cpu_us_per_hit", figure(90, 100, 140), figure(130, 131, 132), "no difference (within the spread)"),
        ("pixel_cpu_us_per_hit", figure(90, 100, 110), figure(70, 75, 79), "better"),
        ("pixel_cpu_us_per_hit", figure(90, 100, 110), figure(121, 130, 140), "worse"),
        ("pipeline_hits_per_s", figure(9_000), figure(12_000), "better"),
        ("pipeline_hits_per_s", figure(9_000), figure(6_000), "worse"),
        ("panel_ms_p95_at_0.1M", figure(40), figure(20), "better"),
        ("hits_lost", figure(0), figure(1), "worse"),
        ("hits_lost", figure(0), figure(0), "no difference"),
        ("idle_cpu_percent", figure(0.0), figure(0.5), "worse"),
    ],
)  # fmt: skip
def test_a_difference_is_one_of_a_fifth_beyond_the_spread(
    name: str, before: dict[str, Any], after: dict[str, Any], expected: str
) -> None:
    assert verdict(name, before, after) == expected


def test_every_figure_of_either_is_compared() -> None:
    before = {"figures": {"pixel_cpu_us_per_hit": figure(100), "rss_mb": figure(200, unit="MB")}}
    after = {"figures": {"pixel_cpu_us_per_hit": figure(50), "hits_lost": figure(0, unit="hits")}}
    rows = compare(before, after)
    assert [(row.name, row.ratio, row.verdict) for row in rows] == [
        ("pixel_cpu_us_per_hit", 0.5, "better"),
        ("hits_lost", None, "not measured before"),
        ("rss_mb", None, "not measured after"),
    ]
    lines = table(rows).splitlines()
    assert lines[0].split() == ["figure", "before", "after", "ratio"]
    assert lines[1].split() == ["pixel_cpu_us_per_hit", "100", "50", "0.50", "better"]
    assert lines[3].split()[:4] == ["rss_mb", "200", "–", "–"]


def test_another_machine_is_said() -> None:
    one = {"figures": {}, "hits": 200_000, "machine": {"cores": 2, "cpu": "a"}}
    other = {"figures": {}, "hits": 20_000, "machine": {"cores": 4, "cpu": "a"}}
    assert list(warnings(one, one)) == []
    said = list(warnings(one, other))
    assert len(said) == 2
    assert said[0].startswith("cores was 2 and is 4")


@pytest.mark.parametrize("text", [None, "", "[]", "{}", json.dumps({"figures": {}}), '{"figures": {"a": 1}}'])
def test_a_file_without_results_is_an_error_that_names_it(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BenchError, match=r"old\.json"):
        load_results(path)
