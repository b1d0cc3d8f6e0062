"""Two results side by side, and whether they differ: `make bench COMPARE=other-results.json`.

The same program varies by ±25 % between runs on a shared machine, so a change under 20 % is none, and neither is one
whose repetitions overlap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.catalogue import ENTRIES, Entry
from bench.figures import AT_MANY
from bench.load import BenchError

LEAST_SHARE = 0.20
SAME_MACHINE = ("cores", "cpu", "memory_mb", "kernel")


class Row(NamedTuple):
    """A figure in two results; None: it was not measured."""

    name: str
    unit: str
    before: float | None
    after: float | None
    ratio: float | None
    verdict: str


def load_results(path: Path) -> dict[str, Any]:
    """What ``make bench`` wrote. Raises ``BenchError``."""
    try:
        results: dict[str, Any] = json.loads(path.read_text("utf-8"))
        runs_of(next(iter(results["figures"].values())))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise BenchError(
            f"{path}: no results of make bench ({error or 'empty'}): name a bench/results.json"
        ) from error
    return results


def runs_of(figure: dict[str, Any]) -> list[float]:
    """What each repetition measured."""
    runs: list[float] = figure.get("runs") or [figure["value"]]
    return runs


def entry_of(name: str) -> Entry | None:
    """The catalogue's entry of a printed name, which says how many hits were stored."""
    if name in ENTRIES:
        return ENTRIES[name]
    stem, _, _ = name.rpartition("_at_")
    return ENTRIES.get(f"{stem}{AT_MANY}")


def verdict(name: str, before: dict[str, Any], after: dict[str, Any]) -> str:
    """Better, worse or no difference, and why none."""
    entry, first, second = entry_of(name), before["value"], after["value"]
    better = entry.better if entry else "less"
    if first == second:
        return "no difference"
    if not (entry and entry.exact):
        if abs(second - first) < LEAST_SHARE * abs(first):
            return f"no difference (under {LEAST_SHARE:.0%})"
        one, other = runs_of(before), runs_of(after)
        if min(one) <= max(other) and min(other) <= max(one):
            return "no difference (within the spread)"
    return "better" if (second > first) == (better == "more") else "worse"


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[Row]:
    """Every figure of either, in the order of the second."""
    old, new = before["figures"], after["figures"]
    rows = []
    for name in [*new, *(name for name in old if name not in new)]:
        unit = (new.get(name) or old[name])["unit"]
        if name not in old or name not in new:
            values = (old.get(name, {}).get("value"), new.get(name, {}).get("value"))
            rows.append(
                Row(name, unit, *values, None, f"not measured {'before' if name in new else 'after'}")
            )
            continue
        first, second = old[name]["value"], new[name]["value"]
        ratio = second / first if first else None
        rows.append(Row(name, unit, first, second, ratio, verdict(name, old[name], new[name])))
    return rows


def warnings(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """What makes the two hard to compare."""
    for name in SAME_MACHINE:
        one, other = before.get("machine", {}).get(name), after.get("machine", {}).get(name)
        if one != other:
            yield f"{name} was {one} and is {other}: compare ratios only"
    if before.get("hits") != after.get("hits"):
        yield f"pipeline runs of {before.get('hits')} and {after.get('hits')} hits"


def table(rows: list[Row]) -> str:
    """In columns."""
    texts = [("figure", "before", "after", "ratio", "")]
    texts += [
        (
            row.name,
            "–" if row.before is None else f"{row.before:g}",
            "–" if row.after is None else f"{row.after:g}",
            "–" if row.ratio is None else f"{row.ratio:.2f}",
            row.verdict,
        )
        for row in rows
    ]
    widths = [max(len(text[column]) for text in texts) for column in range(4)]
    return "\n".join(
        f"{name:<{widths[0]}}  {before:>{widths[1]}}  {after:>{widths[2]}}  {ratio:>{widths[3]}}  {words}".rstrip()
        for name, before, after, ratio, words in texts
    )
