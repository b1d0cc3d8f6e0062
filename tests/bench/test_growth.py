"""What more than doubles as there is more of everything."""

from __future__ import annotations

import pytest

from bench.dataset.shape import World
from bench.growth import axes, growing, table, usual

SMALL, LARGE, CROWDED = World(100_000), World(1_000_000), World(1_000_000, sites=40)
COMPARED = {"hits": [SMALL, LARGE], "sites": [LARGE, CROWDED], "pages": [LARGE]}


def figures(ms: float = 10.0, us: float = 30.0, bytes_: float = 100.0) -> dict[str, float]:
    return {
        "stored_hits": 1.0,
        "bytes_per_hit": bytes_,
        "panel_ms_p95_at_10M": ms,
        "new_hit_cpu_us_at_10M": us,
    }


@pytest.mark.parametrize(
    ("large", "crowded", "found"),
    [
        (figures(), figures(), []),
        (figures(ms=20.0), figures(ms=40.0), []),
        (figures(ms=20.1), figures(ms=20.1), ["panel_ms_p95 from 10 to 20.1 ms (2.0 times) with more hits:"]),
        (figures(), figures(us=99.0), ["new_hit_cpu_us from 30 to 99 us (3.3 times) with more sites:"]),
        (figures(bytes_=19.0), figures(bytes_=90.0), ["bytes_per_hit from 19 to 90 bytes (4.7 times) with"]),
    ],
)  # fmt: skip
def test_what_more_than_doubles_is_named(
    large: dict[str, float], crowded: dict[str, float], found: list[str]
) -> None:
    said = list(growing(COMPARED, {SMALL: figures(), LARGE: large, CROWDED: crowded}))
    assert len(said) == len(found), said
    assert all(text.startswith(start) for text, start in zip(said, found, strict=True))


def test_a_panel_of_two_milliseconds_in_place_of_one_is_no_finding() -> None:
    measured = {SMALL: figures(ms=1.0), LARGE: figures(ms=4.0), CROWDED: figures(ms=4.9)}
    assert not list(growing(COMPARED, measured))


def test_each_number_grows_while_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_STORED_HITS", "1000000")
    monkeypatch.setenv("GROWTH_HITS", "1000000,100000")
    assert axes(usual()) == {
        "hits": [SMALL, LARGE],
        "sites": [LARGE._replace(sites=1), CROWDED],
        "pages": [LARGE, LARGE._replace(pages=200_000)],
    }


def test_data_sets_stand_side_by_side() -> None:
    lines = table({SMALL: figures(), LARGE: figures(ms=12.5)}).splitlines()
    assert lines[0] == "1: 0.1 M hits, 3 sites, 5,000 pages"
    (line,) = (line for line in lines if line.startswith("panel_ms"))
    assert line.split() == ["panel_ms_p95", "10", "12.5"]
