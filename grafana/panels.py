"""Panels: each function makes one panel from a title, a file of SQL and a description of what it counts.

The JSON is the classic form of schema 37, native to Grafana 9.4 and migrated by newer ones. An empty
result shows ``NO_DATA``, so the SQL of a panel gives no row at all while there is nothing to count, and
no NULL or empty text in a column of a table, where Grafana would write the same words into the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]

SQL = Path(__file__).parent / "sql"
# A question for each reporting view, as a panel would ask it: for tests and the bench, in no dashboard.
VIEWS = SQL / "views"
# The type that 9.4 knows, and newer plugins keep as an alias. The uid decides.
READER: Json = {"type": "postgres", "uid": "footfall"}
NO_DATA = "No data yet"
WHOLE_DAYS = "Covers every day that the chosen range touches, each as a whole."
COUNT = "locale"  # Grafana's unit for a number with separators: 12,345
SECONDS = "s"
# From this value on, this colour; below the first: the colour of text.
Steps = tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel without its place: ``width`` of the 24 columns, and Grafana's JSON."""

    width: int
    body: Json


class Column(NamedTuple):
    """A column of a table: the field of the SQL, its heading, and how it is shown."""

    field: str
    heading: str = ""
    unit: str = ""
    width_px: int = 0
    # The field that holds the address which a click opens, and the words for it.
    link: str = ""
    link_title: str = ""
    gauge: bool = False


def override(field: str, properties: Json) -> Json:
    """Properties of the one column that the SQL calls ``field``."""
    return {
        "matcher": {"id": "byName", "options": field},
        "properties": [{"id": name, "value": value} for name, value in properties.items()],
    }


def _target(sql: str, result: str) -> Json:
    return {
        "datasource": READER,
        "editorMode": "code",
        "format": result,
        "rawQuery": True,
        "rawSql": sql,
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
    query = (SQL / sql).read_text(encoding="utf-8").strip()
    counts_days = "$__timeFrom()" in query and "as first_day" in query
    # "custom" must exist, be it empty: newer Grafana migrates the overrides of a table only then.
    config = {"custom": {}, "noValue": NO_DATA, **(defaults or {})}
    body = {
        "type": kind,
        "title": title,
        "description": f"{description} {WHOLE_DAYS}" if counts_days else description,
        "datasource": READER,
        "targets": [_target(query, result)],
        "fieldConfig": {"defaults": config, "overrides": overrides or []},
        "options": options,
    }
    return Panel(width, body)


def stat(
    title: str, sql: str, description: str, *, unit: str = COUNT, width: int = 6, steps: Steps = ()
) -> Panel:
    """One figure: the SQL gives one row with one number. ``steps``: from which value on it has which colour."""
    options = {
        "colorMode": "value" if steps else "none",
        "graphMode": "none",
        "justifyMode": "center",
        "orientation": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "textMode": "value",
    }
    defaults: Json = {"unit": unit}
    if steps:
        rest = [{"value": value, "color": colour} for value, colour in steps]
        defaults["color"] = {"mode": "thresholds"}
        defaults["thresholds"] = {"mode": "absolute", "steps": [{"value": None, "color": "text"}, *rest]}
    return make_panel("stat", title, sql, description, width=width, options=options, defaults=defaults)


def time_series(
    title: str, sql: str, description: str, *, names: dict[str, str] | None = None, width: int = 12
) -> Panel:
    """Lines over time: the SQL gives ``time`` and a number a line, or ``time``, ``metric`` and one number.

    ``names`` are the lines' names by their fields.
    """
    options = {
        "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    custom = {
        "drawStyle": "line",
        "fillOpacity": 10,
        "lineWidth": 2,
        "pointSize": 6,
        "showPoints": "always",
        "spanNulls": False,
    }
    overrides = [override(field, {"displayName": name}) for field, name in (names or {}).items()]
    defaults = {"custom": custom, "min": 0, "unit": COUNT}
    return make_panel(
        "timeseries", title, sql, description, width=width, options=options,
        defaults=defaults, overrides=overrides, result="time_series",
    )  # fmt: skip


def _column(column: Column) -> Json:
    properties: Json = {"displayName": column.heading}
    if column.unit:
        properties["unit"] = column.unit
    if column.width_px:
        properties["custom.width"] = column.width_px
    if column.gauge:
        # 9.4's word for a gauge in a cell; newer Grafana migrates it.
        properties |= {"custom.displayMode": "gradient-gauge", "min": 0}
        properties["color"] = {"mode": "continuous-BlPu"}
    if column.link:
        # :raw, because the SQL gives an encoded address, which newer Grafana would encode again.
        url = f"${{__data.fields.{column.link}:raw}}"
        properties["links"] = [{"title": column.link_title, "url": url, "targetBlank": True}]
    return override(column.field, properties)


def _hidden(field: str) -> Json:
    # The first is 9.4's word, the second that of the newest; each ignores what it does not know.
    return override(field, {"custom.hidden": True, "custom.hideFrom.viz": True})


def table(title: str, sql: str, description: str, columns: list[Column], *, width: int = 24) -> Panel:
    """A list: the SQL gives the columns, in this order, and the fields that links need, which are hidden."""
    links = list(dict.fromkeys(column.link for column in columns if column.link))
    overrides = [_column(column) for column in columns] + [_hidden(field) for field in links]
    options = {"footer": {"show": False}, "showHeader": True}
    return make_panel("table", title, sql, description, width=width, options=options, overrides=overrides)


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


def with_defaults(panel: Panel, *, custom: Json | None = None, **defaults: Any) -> Panel:
    """The panel with other defaults of its fields; ``custom``: what only its kind knows."""
    config = panel.body["fieldConfig"]
    merged = {**config["defaults"], **defaults, "custom": {**config["defaults"]["custom"], **(custom or {})}}
    return Panel(panel.width, {**panel.body, "fieldConfig": {**config, "defaults": merged}})
