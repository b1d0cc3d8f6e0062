"""Panels: each function makes one panel from a title, a file of SQL and a description of what it counts.

The JSON is the classic form of schema 37, native to Grafana 9.4 and migrated by newer ones. An empty
result shows ``NO_DATA``, so the SQL of a panel gives no row at all while there is nothing to count, and
no NULL or empty text in a column of a table, where Grafana would write the same words into the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Json = dict[str, Any]

SQL = Path(__file__).parent / "sql"
# A question for each reporting view, as a panel would ask it: for tests and the bench, in no dashboard.
VIEWS = SQL / "views"
# The type that 9.4 knows, and newer plugins keep as an alias. The uid decides.
READER: Json = {"type": "postgres", "uid": "footfall"}
EXPLORER: Json = {"type": "postgres", "uid": "footfall-explorer"}
# Folders of SQL that asks single hits, which the reader may not: slower, and with a limit of 5 s.
OF_HITS = ("explore/", "realtime/")
NO_DATA = "No data yet"
WHOLE_DAYS = "Covers every day that the chosen range touches, each as a whole."
COUNT = "locale"  # Grafana's unit for a number with separators: 12,345
SECONDS = "s"
PERCENT = "percent"  # 12.3 is 12.3 %
# Of a figure whose size asks for an action: from which value on it has which colour.
Steps = tuple[tuple[float, str], ...]
# Of a comparison: whether more than before is good.
Good = Literal["more", "fewer", "neither"]
# The same field has the same colour everywhere; what is not here, Grafana colours by name.
COLOURS = {
    "pageviews": "blue",
    "visitors": "green",
    "events": "purple",
    "sessions": "green",
    "anonymous_pageviews": "light-blue",
    "pageviews_before": "#8e8e8e",
    "bot_hits": "orange",
    "owner_hits": "super-light-yellow",
    "missing": "red",
    "stored": "blue",
    "duplicate": "yellow",
    "dead_lettered": "red",
}


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel without its place: ``width`` of the 24 columns, and Grafana's JSON."""

    width: int
    body: Json


def override(field: str, properties: Json) -> Json:
    """Properties of the one column that the SQL calls ``field``."""
    return {
        "matcher": {"id": "byName", "options": field},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }


def source_of(sql: str) -> Json:
    """The data source that a file of SQL is asked of."""
    return EXPLORER if sql.startswith(OF_HITS) else READER


def make_target(sql: str, result: str = "table") -> Json:
    """A query as Grafana has it; ``sql`` is a file under ``SQL``."""
    return {
        "datasource": source_of(sql),
        "editorMode": "code",
        "format": result,
        "rawQuery": True,
        "rawSql": (SQL / sql).read_text(encoding="utf-8").strip(),
        "refId": "A",
    }


def make_panel(
    kind: str,
    title: str,
    sql: str,
    description: str,
    *,
    width: int,
    options: Json,
    defaults: Json | None = None,
    overrides: list[Json] | None = None,
    result: str = "table",
) -> Panel:
    """What all panels with data have; ``sql`` is a file under ``SQL``. Says where whole days are counted."""
    target = make_target(sql, result)
    covers = "$__timeFrom()" in target["rawSql"] and not sql.startswith(OF_HITS)
    # "custom" must exist, be it empty: newer Grafana migrates the overrides of a table only then.
    config = {"custom": {}, "noValue": NO_DATA, **(defaults or {})}
    body = {
        "type": kind,
        "title": title,
        "description": f"{description} {WHOLE_DAYS}" if covers else description,
        "datasource": target["datasource"],
        "targets": [target],
        "fieldConfig": {"defaults": config, "overrides": overrides or []},
        "options": options,
    }
    return Panel(width, body)


def _figure(**more: Any) -> Json:
    return {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value",
        **more,
    }


def _thresholds(steps: Steps) -> Json:
    coloured = [{"color": colour, "value": value} for value, colour in steps]
    return {"mode": "absolute", "steps": [{"color": "text", "value": None}, *coloured]}


def stat(
    title: str, sql: str, description: str, *, unit: str = COUNT, width: int = 6, steps: Steps = ()
) -> Panel:
    """One figure: the SQL gives one row with one number; coloured from the values of ``steps`` on."""
    defaults = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": _thresholds(steps)}
    return make_panel("stat", title, sql, description, width=width, options=_figure(), defaults=defaults)


def words(title: str, sql: str, description: str, *, width: int = 6) -> Panel:
    """One text: the SQL gives one row with one text."""
    # Without a pattern of fields Grafana looks for numbers only.
    options = _figure(reduceOptions={"calcs": ["lastNotNull"], "fields": "/.*/", "values": False})
    defaults = {"color": {"mode": "thresholds"}, "thresholds": _thresholds(())}
    return make_panel("stat", title, sql, description, width=width, options=options, defaults=defaults)


def compared(
    title: str, sql: str, description: str, *, good: Good = "more", unit: str = COUNT, width: int = 6
) -> Panel:
    """A figure over the words for how it changed: the SQL gives one row, a number and the text ``change``.

    The words begin with an arrow (SQL function ``change_in_words``), which is coloured by what is good.
    """
    colours = {"more": ("green", "red"), "fewer": ("red", "green"), "neither": ("text", "text")}[good]
    arrows = [
        {"type": "regex", "options": {"pattern": f"({arrow}.*)", "result": {"color": colour, "text": "$1"}}}
        for arrow, colour in zip("▲▼", colours, strict=True)
    ]
    options = _figure(
        orientation="horizontal",  # the one above the other
        reduceOptions={"calcs": ["lastNotNull"], "fields": "/.*/", "values": False},
        text={"valueSize": 28},
    )
    defaults = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": _thresholds(())}
    return make_panel(
        "stat", title, sql, description, width=width, options=options, defaults=defaults,
        overrides=[override("change", {"unit": "string", "mappings": arrows})],
    )  # fmt: skip


def bars(title: str, sql: str, description: str, *, unit: str = COUNT, width: int = 12) -> Panel:
    """A bar a row: the SQL gives a text, which labels the bar, and one number."""
    options = {
        "displayMode": "gradient",
        "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "limit": 25, "values": True},
        "showUnfilled": True,
    }
    defaults = {"color": {"mode": "continuous-BlPu"}, "min": 0, "unit": unit}
    return make_panel("bargauge", title, sql, description, width=width, options=options, defaults=defaults)


def text(title: str, content: str, description: str, *, width: int = 24) -> Panel:
    """Words, in Markdown."""
    body = {
        "type": "text",
        "title": title,
        "description": description,
        "options": {"mode": "markdown", "content": content},
    }
    return Panel(width, body)
