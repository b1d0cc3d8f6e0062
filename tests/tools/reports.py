"""A report that no database gave."""

from __future__ import annotations

import datetime
from typing import Any

from tools.report.shape import (
    Bots,
    Country,
    Day,
    Figure,
    LedPage,
    Missing,
    OtherSources,
    Page,
    Post,
    Problem,
    Report,
    Source,
)
from tools.report.texts import FIGURES

FIRST = datetime.date(2026, 11, 17)


def make_report(text: str = "Notes", days: int = 7, **differing: Any) -> Report:
    """A week up to an open day, with ``text`` wherever a stranger can put one."""
    last = FIRST + datetime.timedelta(days=days - 1)
    values: dict[str, Any] = {
        "made_at": "2026-11-23T18:30:00+00:00",
        "time_zone": "Europe/Berlin",
        "sites": (),
        "known_sites": ("blog.example",),
        "first_day": FIRST,
        "last_day": last,
        "compared_until": last - datetime.timedelta(days=1),
        "before_first_day": FIRST - datetime.timedelta(days=days - 1),
        "has_open_day": True,
        "counted_since": datetime.date(2026, 9, 1),
        "headline": {name: Figure(1234, 1100, 1000, 100, 10.0, "▲ 10 % · +100", "green") for name in FIGURES},
        "pageviews_a_visitor": 1.5,
        "by_day": tuple(
            Day(FIRST + datetime.timedelta(days=n), 100 * n + 1, 50 * n, n == days - 1, 80 * n)
            for n in range(days)
        ),
        "pages": (
            Page("blog.example/" + text, text, "https://blog.example/" + text, 12_345, 678),
            Page("blog.example/plain", "Plain", "https://blog.example/plain", 9, 8),
        ),
        "sources": (Source(text, 30, (LedPage("blog.example/x", text, text, 20),), 10),),
        "other_sources": OtherSources(4, 7),
        "countries": (Country("DE", "Germany", "🇩🇪", 40, 33.3, 60),),
        "missing": (
            Missing("blog.example/" + text, "https://blog.example/" + text, "still missing", 5, "–", text, 0,
                    "2026-11-01", "2026-11-22"),
        ),
        "posts": (Post(text, "blog.example/p", "https://blog.example/p", "2026-11-18", 10, 20, 30),),
        "bots": (Bots("search", 99),),
        "last_hit": "12 s ago",
        "problems": (Problem("gap", "no pixel took hits", "docs/operating.md"),),
    }  # fmt: skip
    return Report(**values | differing)
