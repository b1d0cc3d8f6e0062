"""The list of figures, from figures.toml: what each is called, its unit, its gate and its aim."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

FILE = Path(__file__).with_name("figures.toml")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One figure."""

    name: str
    unit: str
    words: str
    gate: float | None = None
    aim: float | None = None
    better: str = "less"
    exact: bool = False  # whether any other value is a difference
    beside: str | None = None  # the figure that this one is to be compared with

    def meets(self, value: float, wanted: float) -> bool:
        """Whether a value is at least as good as a gate or an aim."""
        return value >= wanted if self.better == "more" else value <= wanted


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Figures that stand in one table."""

    name: str
    title: str
    figure: list[Entry]


PARTS = msgspec.convert(tomllib.loads(FILE.read_text("utf-8"))["group"], list[Part])
ENTRIES = {entry.name: entry for part in PARTS for entry in part.figure}
