"""What the bench reads and says; nothing here measures anything."""

from __future__ import annotations

import os
import re

import pytest

from bench.cpu import read_stat, tree_cpu_s
from bench.figures import UNITS, Figures, percentile, readable
from bench.load import BenchError, read_report
from bench.settings import whole_number, whole_numbers
from bench.steady import view_delays_s
from bench.stored.timing import Timing, summary_of


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-3.0, "-3"), (0.01234, "0.0123"), (1.2345, "1.23"), (95.04, "95"), (95.04 * 2, "190"),
        (9.996, "10.00"), (999.6, "1000"), (12_345.6, "12346"), (1e9, "1000000000"),
    ],
)  # fmt: skip
def test_a_value_has_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert float(readable(value)) == float(text)
    assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", readable(value))


def test_figures_are_medians_in_the_catalogue_s_order() -> None:
    figures = Figures()
    for name, values in (("hits_lost", [0]), ("pipeline_hits_per_s", [9_000.4, 100, 12_000])):
        for value in values:
            figures.add(name, value)
    assert figures.lines() == ["pipeline_hits_per_s 9000 hits/s", "hits_lost 0 hits"]
    expected = {"value": 9000.0, "unit": "hits/s", "runs": [9000.0, 100.0, 12000.0]}
    assert figures.as_json()["pipeline_hits_per_s"] == expected
    with pytest.raises(KeyError):
        figures.add("unheard_of", 1)


@pytest.mark.parametrize(("hits", "name"), [(10_000_000, "10M"), (30_000_000, "30M"), (20_000, "0.02M")])
def test_a_figure_of_stored_hits_says_how_many_there_were(hits: int, name: str) -> None:
    figures = Figures()
    figures.add("stored_hits", hits)
    figures.add("panel_ms_p95_at_10M", 20)
    assert figures.lines() == [f"stored_hits {hits} hits", f"panel_ms_p95_at_{name} 20 ms"]
    assert f"panel_ms_p95_at_{name}" in figures.as_json()


def test_a_setting_is_a_number_from_the_least_up_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_HITS", raising=False)
    assert whole_number("BENCH_HITS", 200_000, 4_000, or_none=True) == 200_000
    for text in ("0", "4000", "30000000"):
        monkeypatch.setenv("BENCH_HITS", text)
        assert whole_number("BENCH_HITS", 200_000, 4_000, or_none=True) == int(text)
    for text in ("-1", "many", "9", "4e3"):
        monkeypatch.setenv("BENCH_HITS", text)
        with pytest.raises(BenchError, match=r"BENCH_HITS.*from 4000 up, or 0"):
            whole_number("BENCH_HITS", 200_000, 4_000, or_none=True)
    monkeypatch.setenv("BENCH_HITS", "0")
    with pytest.raises(BenchError, match=r"from 1 up$"):
        whole_number("BENCH_HITS", 5)


def test_several_numbers_stand_in_order_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROWTH_SITES", "40, 1,40")
    assert whole_numbers("GROWTH_SITES", (3,)) == (1, 40)
    monkeypatch.setenv("GROWTH_SITES", "40,")
    with pytest.raises(BenchError, match="GROWTH_SITES"):
        whole_numbers("GROWTH_SITES", (3,))


def test_the_slowest_questions_are_named_and_those_without_rows() -> None:
    timings = [Timing(f"{name}, {days} days", ms, rows) for name, ms, rows in
               (("pages", 30.0, 5), ("missing", 1.0, 0)) for days in (7, 30)]  # fmt: skip
    summary = summary_of([*timings, Timing("pages, 90 days", 99.4, 5)], shown=1)
    assert summary.slowest == summary.p95 == 99.4
    assert summary.p50 == 30.0
    assert summary.words == "pages, 90 days 99 ms"
    assert summary.empty == ["missing"]


def test_a_line_is_three_words() -> None:
    assert all(" " not in name and " " not in unit for name, unit in UNITS.items())


def test_the_name_of_a_program_does_not_confuse_the_reading_of_its_cpu() -> None:
    fields = "S 17 0 0 0 -1 0 0 0 0 0 " + "11 22 33 44 " + "20 0 1 0"
    assert read_stat(f"4711 (postgres: a) b (c) {fields}") == (17, 33, 77)


def test_own_cpu_is_seen() -> None:
    before = tree_cpu_s(os.getpid())
    while os.times().user + os.times().system < before + 0.05:
        sum(range(10_000))
    assert tree_cpu_s(os.getpid()) > before


def test_refused_hits_are_not_answered_ones() -> None:
    load = read_report("report 1000 10 2 900 8500 21000", 7.0, 7.5, 1500)
    assert (load.answered, load.refused, load.broken, load.hits_per_s) == (990, 10, 2, 1980)
    assert (load.p50_ms, load.p99_ms, load.max_ms, load.late_ms) == (0.9, 8.5, 21.0, 1.5)


def test_delays_are_those_of_the_nth_answer_to_the_view_saying_n() -> None:
    answered, seen = (1.0, 2.0, 3.0, 9.0), [(2.5, 1), (4.0, 3)]
    assert view_delays_s(answered, seen) == [1.5, 2.0, 1.0]  # the fourth was never shown
    assert view_delays_s((5.0,), [(4.0, 1)]) == [0.0]


def test_percentile_is_one_of_the_values() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
