"""Panels: each function makes one panel from a title, a file of SQL and a description of what it counts.

The JSON is the classic form of schema 37, native to Grafana 9.4 and migrated by newer ones. An empty
result shows ``NO_DATA``, so the SQL of a panel gives no row at all while there is nothing to count, and
no NULL or empty text in a column of a table, where Grafana would write the same words into the cell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
# How SQL begins that counts them.
WHOLE_DAYS_OF_RANGE = re.compile(
    r"\$__timeFrom\(\)::timestamptz at time zone \w*\.?report_timezone\)|days_to_compare\("
)
COUNT = "locale"  # Grafana's unit for a number with separators: 12,345
SECONDS = "s"
PERCENT = "percent"  # 12.3 is 12.3 %
# Else a column of shares has 7 % under 6.70 %.
DECIMALS: dict[str, Json] = {PERCENT: {"decimals": 1}}
# Of a figure whose size asks for an action: from which value on it has which colour.
Steps = tuple[tuple[float, str], ...]
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
    counts_days = WHOLE_DAYS_OF_RANGE.search(target["rawSql"]) and not sql.startswith(OF_HITS)
    # "custom" must exist, be it empty: newer Grafana migrates the overrides of a table only then.
    config = {"custom": {}, "noValue": NO_DATA, **(defaults or {})}
    body = {
        "type": kind,
        "title": title,
        "description": f"{description} {WHOLE_DAYS}" if counts_days else description,
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
        "text": {"valueSize": 32},
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
    defaults: Json = {"unit": unit, "color": {"mode": "thresholds"}, "thresholds": _thresholds(steps)}
    defaults |= DECIMALS.get(unit, {})
    return make_panel("stat", title, sql, description, width=width, options=_figure(), defaults=defaults)


def words(title: str, sql: str, description: str, *, width: int = 6) -> Panel:
    """One text: the SQL gives one row with one text."""
    # Without a pattern of fields Grafana looks for numbers only.
    options = _figure(reduceOptions={"calcs": ["lastNotNull"], "fields": "/.*/", "values": False})
    defaults = {"color": {"mode": "thresholds"}, "thresholds": _thresholds(())}
    return make_panel("stat", title, sql, description, width=width, options=options, defaults=defaults)


def compared(title: str, sql: str, description: str, *, unit: str = COUNT, width: int = 6) -> Panel:
    """A figure under the words for how it changed: the SQL gives one row, a number, ``change`` and ``colour``.

    The words are those of the SQL function ``change_in_words``, the colour that of ``arrow_colour``.
    """
    number = next(
        iter(re.findall(r"^select (\w+), change", (SQL / sql).read_text(encoding="utf-8"), re.MULTILINE))
    )
    roles = {number: "field.value", "change": "field.name", "colour": "color"}
    panel = make_panel(
        "stat", title, sql, description, width=width,
        options=_figure(justifyMode="auto", textMode="value_and_name", text={"titleSize": 14, "valueSize": 36}),
        defaults={"unit": unit, "color": {"mode": "fixed", "fixedColor": "text"}},
    )  # fmt: skip
    # The row becomes one field, which has the change for its name.
    mappings = [{"fieldName": field, "handlerKey": role} for field, role in roles.items()]
    panel.body["transformations"] = [{"id": "rowsToFields", "options": {"mappings": mappings}}]
    return panel


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
