"""Words and numbers of a report, whatever strangers put into titles, paths and referrers."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence, Sized
from datetime import timedelta
from typing import NamedTuple

from tools.report.shape import Day, OtherSources, Report, Source

REPLACED = "\N{REPLACEMENT CHARACTER}"
# What a browser needs to join letters and emoji; a terminal would count their width otherwise than we do.
JOINERS = "\u200c\u200d\ufe0f"
MOST_MARKS = 4  # on one letter: no language has more, and more run over the lines above
SPARKS = "▁▂▃▄▅▆▇█"
PARTS = " ▏▎▍▌▋▊▉"  # of a cell, in eighths
MOST_BARS = 31
STEPS = (1, 7, 28, 91, 364)  # days of a bar
# Rows that are shown, and rows that are asked for.
PAGES, SOURCES, PAGES_OF_SOURCE, COUNTRIES, MISSING, POSTS, BOTS = 10, 8, 3, 10, 10, 5, 6
MOST_PAGES, MOST_MISSING = 50, 500
FIGURES = {
    "pageviews": "Pageviews",
    "visitors": "Visitors",
    "missing_pageviews": "Of missing pages",
    "bot_hits": "Hits of bots",
    "anonymous_pageviews": "Without a session",
    "owner_hits": "Your own hits",
}
APART = {
    "bot_hits": "in no other figure",
    "anonymous_pageviews": "in no visitor",
    "owner_hits": "in no other figure",
}
NO_DATA = (
    "No data yet: no hit was ever counted.",
    "Put the tag on a page (docs/tag.md), open it, and run this again: a hit shows after 2 seconds.",
    "Or see it with made-up visits: make demo DAYS=30",
)
# As both licences ask, see grafana/definitions/credit.py.
ELSEWHERE = (
    "Countries: IP Geolocation by DB-IP, https://db-ip.com, CC BY 4.0. Where a licence key of MaxMind is set: "
    "This product includes GeoLite Data created by MaxMind, available from https://www.maxmind.com."
)


def one_line(text: str, kept: str = "") -> str:
    """Text without what moves a cursor, hides or turns the text around; ``kept``: such characters that stay.

    Control characters become a space, what Unicode does not know U+FFFD.
    """
    found, marks = [], 0
    for character in unicodedata.normalize("NFC", text):
        kind = unicodedata.category(character)
        marks = marks + 1 if kind in ("Mn", "Me") else 0
        if kind in ("Cc", "Zl", "Zp", "Zs"):
            found.append(" ")
        elif kind in ("Cs", "Co", "Cn"):
            found.append(REPLACED)
        elif character in kept or (kind != "Cf" and not _selects(character) and marks <= MOST_MARKS):
            found.append(character)
    return " ".join("".join(found).split())


def _selects(character: str) -> bool:
    """Whether it chooses a form of the character before it."""
    return "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"


def for_page(text: str) -> str:
    """As ``one_line``, for what draws joined emoji."""
    return one_line(text, JOINERS)


def sparkline(values: Sequence[int], width: int) -> str:
    """A line of at most ``width`` cells; several days share one where there are more. Empty for a single day."""
    if len(values) < 2 or width < 1:
        return ""
    step = -(-len(values) // width)
    sums = [sum(values[at : at + step]) for at in range(0, len(values), step)]
    most = max(*sums, 1)
    return "".join(SPARKS[round(value / most * (len(SPARKS) - 1))] for value in sums)


def bar(value: int, most: int, width: int) -> str:
    """A bar of at most ``width`` cells, to an eighth of a cell; something above 0 is seen."""
    eighths = round(8 * width * value / most) if most else 0
    if value:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + PARTS[eighths % 8].strip()


class Bar(NamedTuple):
    """One or more days."""

    label: str
    pageviews: int
    visitors: int
    is_open: bool


def bars_of(days: Sequence[Day]) -> tuple[int, list[Bar]]:
    """How many days a bar has, and at most ``MOST_BARS`` of them, the newest last."""
    step = next((step for step in STEPS if len(days) <= step * MOST_BARS), STEPS[-1])
    found = []
    for at in range(0, len(days), step):
        part = days[at : at + step]
        label = f"{part[0].day:%Y-%m-%d}" + (f" {part[0].day:%a}" if step == 1 else "")
        found.append(
            Bar(label, sum(d.pageviews for d in part), sum(d.visitors for d in part), part[-1].is_open)
        )
    return step, found


def title_of(report: Report) -> str:
    """Sites, days and zone."""
    sites = ", ".join(report.sites) or "all sites"
    days = (report.last_day - report.first_day).days + 1
    counted = f"{days} days" if days > 1 else "one day"
    until = f" to {report.last_day}" if days > 1 else ""
    return f"{sites} · {report.first_day}{until} · {counted}, {report.time_zone}"


def compared_of(report: Report) -> str:
    """Which days were compared with which; empty where none were."""
    if report.headline["pageviews"].before is None:
        return ""
    before = report.first_day - timedelta(days=1)
    with_days = f"{report.before_first_day} to {before}" if report.before_first_day < before else f"{before}"
    if report.has_open_day and report.first_day == report.last_day:
        return f"Today is not over; the day before is {with_days}."
    whole = f"{report.first_day} to {report.compared_until}"
    if report.first_day == report.compared_until:
        whole = str(report.first_day)
    left_out = " Today is not over and is not compared." if report.has_open_day else ""
    return f"Compared: {whole} with {with_days}.{left_out}"


def remark_of(report: Report) -> str:
    """When the last hit came, and what was compared."""
    last = f"Last hit {report.last_hit}." if report.last_hit else ""
    return " ".join(part for part in (last, compared_of(report)) if part)


def first_sources(report: Report, sources: int, pages: int) -> tuple[list[Source], OtherSources]:
    """The first sources with their first pages; all else is added to what is not named."""
    shown = [_with_pages(source, pages) for source in report.sources[:sources]]
    rest = report.sources[sources:]
    others = report.other_sources
    return shown, OtherSources(
        others.sources + len(rest), others.pageviews + sum(source.pageviews for source in rest)
    )


def _with_pages(source: Source, pages: int) -> Source:
    more = sum(page.pageviews for page in source.pages[pages:])
    return Source(source.source, source.pageviews, source.pages[:pages], source.other_pageviews + more)


def others_of(items: Sized, shown: int, most: int | None = None) -> str:
    """Said where more are known than are shown; ``most``: so many are asked for, and there may be more."""
    number = len(items) - shown
    if number <= 0:
        return ""
    return "and others" if len(items) == most else f"+ {number:,} other{'s' * (number > 1)}"
