"""The figures as they are gathered, printed and written."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.catalogue import ENTRIES

RESULTS = Path(__file__).with_name("results.json")

# In the order in which they are printed.
UNITS = {name: entry.unit for name, entry in ENTRIES.items()}
AT_MANY = "_at_10M"


class Figures:
    """Measured values by name; of a figure measured several times the median counts."""

    def __init__(self) -> None:
        self._measured: dict[str, list[float]] = {}

    def add(self, name: str, value: float) -> None:
        """One measurement. Raises ``KeyError`` for a name that has no unit."""
        _ = UNITS[name]
        self._measured.setdefault(name, []).append(value)

    def value(self, name: str) -> float:
        """The median. Raises ``KeyError``."""
        return statistics.median(self._measured[name])

    def has(self, name: str) -> bool:
        """Whether it was measured."""
        return name in self._measured

    def last(self, name: str) -> float:
        """What was measured last. Raises ``KeyError``."""
        return self._measured[name][-1]

    def lines(self) -> list[str]:
        """``name value unit``, one a line."""
        return [
            f"{self._shown(name)} {readable(self.value(name))} {UNITS[name]}"
            for name in UNITS
            if name in self._measured
        ]

    def _shown(self, name: str) -> str:
        return named_at(name, self.value("stored_hits")) if name.endswith(AT_MANY) else name

    def as_json(self) -> dict[str, dict[str, Any]]:
        """By name: value, unit, and what each repetition measured."""
        return {
            self._shown(name): {"value": float(readable(self.value(name))), "unit": UNITS[name]}
            | (
                {"runs": [float(readable(run)) for run in runs]}
                if len(runs := self._measured[name]) > 1
                else {}
            )
            for name in UNITS
            if name in self._measured
        }


def named_at(name: str, stored_hits: float) -> str:
    """The name of a figure, with the number of hits that were stored in fact."""
    if not name.endswith(AT_MANY) or not stored_hits:
        return name
    return f"{name.removesuffix(AT_MANY)}_at_{stored_hits / 1e6:g}M"


def readable(value: float) -> str:
    """Three significant digits, whole numbers in full, never with an exponent."""
    if value == int(value) or abs(value) >= 1_000:
        return str(round(value))
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest of the values that ``share`` of all do not exceed. Raises ``ValueError`` when there are none."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def write_results(
    path: Path, figures: Figures, machine: dict[str, str | int], run: dict[str, str | int], notes: list[str]
) -> None:
    """bench/results.json; ``run``: when, how many hits, how often."""
    results = {"figures": figures.as_json(), "machine": machine, **run, "notes": notes}
    path.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
