"""What became of what was read."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

FIRST_PLACES = 5
MOST_DAYS = 40  # more are said by month


@dataclass
class _Skipped:
    number: int = 0
    first: list[tuple[str, int]] = field(default_factory=list)  # file and line

    def places(self) -> str:
        """``access.log:3, 7; access.log.1:2, …``"""
        files = [
            f"{name}:" + ", ".join(str(place) for _, place in group)
            for name, group in itertools.groupby(self.first, key=lambda place: place[0])
        ]
        return "; ".join(files) + (", …" if self.number > len(self.first) else "")


@dataclass
class Report:
    """Counts of a run."""

    unit: str = "line"
    read: int = 0
    imported: int = 0
    there: int = 0
    days: Counter[str] = field(default_factory=Counter)  # of what was imported
    skipped: dict[str, _Skipped] = field(default_factory=dict)
    sealed: list[str] = field(default_factory=list)  # days beyond the retention, whose hits went again

    def skip(self, reason: str, name: str, place: int) -> None:
        """Count what is not imported."""
        skipped = self.skipped.setdefault(reason, _Skipped())
        skipped.number += 1
        if len(skipped.first) < FIRST_PLACES:
            skipped.first.append((name, place))

    def lines(self) -> Iterator[str]:
        """The report."""
        yield f"read {self.read} {self.unit}s"
        yield f"imported {self.imported}"
        yield f"already there {self.there}"
        yield f"skipped {sum(skipped.number for skipped in self.skipped.values())}"
        for reason, skipped in sorted(self.skipped.items(), key=lambda item: -item[1].number):
            yield f"  {skipped.number} {reason}: {skipped.places()}"
        if self.days:
            yield f"days {len(self.days)}: {min(self.days)} to {max(self.days)}"
            yield from (f"  {day} {hits}" for day, hits in sorted(self._by_day_or_month().items()))
        if self.sealed:
            yield (
                f"sealed {len(self.sealed)} days that are older than RETENTION_DAYS: "
                "they are counted, and their hits are dropped"
            )

    def _by_day_or_month(self) -> Counter[str]:
        if len(self.days) <= MOST_DAYS:
            return self.days
        months: Counter[str] = Counter()
        for day, hits in self.days.items():
            months[day[:7]] += hits
        return months
