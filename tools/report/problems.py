"""What is wrong while the figures are read, or was within their range: by the questions of alerts and `pipeline`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from tools.report.shape import Problem

SHOWN_GAPS = 5
SOME_TIME_S = 60  # of a hit from the pixel into a view: 2 s


class Asks(Protocol):
    """Answers files of the dashboards' SQL."""

    def rows(self, name: str) -> list[dict[str, Any]]: ...

    def value(self, name: str, otherwise: Any) -> Any: ...


class Sign(NamedTuple):
    """A number that is 0 where all is well."""

    kind: str
    sql: str
    above: int
    words: str
    what_to_do: str


SIGNS = (
    Sign("not-looking", "alerts/no_look.sql", 0, "no enricher has looked at the stream for a minute: hits wait",
         "is the enricher running? Its log says what it waits for"),
    Sign("backlog", "alerts/backlog.sql", SOME_TIME_S, "hits wait on the stream, the oldest for {number}",
         "the figures grow by themselves; else docs/operating.md, Alerts"),
    Sign("uncounted", "alerts/rollup_lag.sql", SOME_TIME_S, "stored hits wait to be counted, the oldest for {number}",
         "the figures grow by themselves; else docs/operating.md, Jobs"),
    Sign("stopped", "alerts/stopped.sql", 0, "{number} enrichers have stopped: too many hits could not be stored",
         "make dead-letters"),
    Sign("dead-letters", "pipeline/open_letters.sql", 0, "{number} hits could not be stored", "make dead-letters"),
    Sign("ledger", "alerts/ledger.sql", 0, "the ledger does not close in {number} places", "make check says where"),
    Sign("lost", "alerts/lost.sql", 0, "Redis lost {number} hits within the last day",
         "look at Redis's disk and log; is appendfsync still always?"),
)  # fmt: skip


def problems_of(asks: Asks) -> Iterator[Problem]:
    """Nothing where all is well."""
    for sign in SIGNS:
        number = int(asks.value(sign.sql, 0))
        if number > sign.above:
            said = duration(number) if sign.above == SOME_TIME_S else f"{number:,}"
            yield Problem(sign.kind, sign.words.format(number=said), sign.what_to_do)
    yield from _gaps(asks.rows("pipeline/gaps.sql"))


def _gaps(rows: list[dict[str, Any]]) -> Iterator[Problem]:
    """The longest gaps, and how many others there are."""
    what_to_do = "who came then is not counted: docs/operating.md, The dashboard pipeline, at night"
    longest = sorted(rows, key=lambda row: -row["seconds"])
    for row in sorted(longest[:SHOWN_GAPS], key=lambda row: row["began"]):
        until = f"to {row['ended']}" if row["ended"] != "not yet" else "until now"
        yield Problem(
            "gap", f"no pixel took hits from {row['began']} {until} ({duration(row['seconds'])})", what_to_do
        )
    if others := longest[SHOWN_GAPS:]:
        together = duration(sum(row["seconds"] for row in others))
        yield Problem("gap", f"and {len(others)} shorter times, {together} together", what_to_do)


def duration(seconds: int) -> str:
    """For a person, rounded down."""
    for unit, length_s in (("days", 172_800), ("h", 7_200), ("min", 120)):
        if seconds >= length_s:
            return f"{seconds // {'days': 86_400, 'h': 3_600, 'min': 60}[unit]} {unit}"
    return f"{seconds} s"
