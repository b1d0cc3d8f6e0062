"""What is asked of the data set: the SQL of every panel, of every reporting view, and of exploring.

A question is what a dashboard holds; ``grafana.expand`` makes SQL of it for a range, as Grafana would.

The data set ends in the past: for ``realtime``, which asks for the last half hour, its last moment is now.
Elsewhere ``now()`` only tells which day is not over, and none of the range is.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from bench.dataset import shape
from bench.dataset.requests import pages_of
from grafana.build import FOLDER as DASHBOARDS
from grafana.expand import expand, initial_value
from grafana.panels import SQL

DATA_SOURCES = DASHBOARDS.parent / "provisioning" / "datasources" / "footfall.yml"
READER, EXPLORER = "grafana_reader", "grafana_explorer"
VIEWS = SQL / "views"
EXPLORE = Path(__file__).with_name("explore")
ALL_SITES = {"site": "'__all__'"}
# Three filters of the dashboard explore: what few have in common, and what many have.
CHOSEN = {
    "a page": {
        "page": f"'{shape.SITES[0].name}{pages_of(shape.SITES[0])[0].path}'",
        "country": "'US'",
        "device": "'desktop'",
    },
    "a source": {"source": "'Search'", "country": "'DE','AT','CH'", "device": "'mobile'"},
    "common values": {"site": f"'{shape.SITES[0].name}'", "channel": "'Direct'", "device": "'desktop'"},
}

# The range ends with the data, a second before midnight: so it touches a day more than it has, as at most moments.
END = datetime.datetime.combine(shape.LAST_DAY, datetime.time(23, 59, 59), datetime.UTC)
RANGES = {f"{days} days" if days > 1 else "24 h": datetime.timedelta(days) for days in (1, 7, 30, 90)}


@dataclass(frozen=True)
class Question:
    """SQL with Grafana's macros and variables, and the role that asks."""

    name: str
    role: str
    sql: str
    variables: Mapping[str, str] = field(default_factory=lambda: ALL_SITES)

    def expanded(self, span: datetime.timedelta) -> str:
        """What PostgreSQL is sent for a range of this length."""
        return expand(self.sql, self.variables, END - span, END)


def roles() -> dict[str, str]:
    """The role of each data source by its uid."""
    found = yaml.safe_load(DATA_SOURCES.read_text("utf-8"))
    return {source["uid"]: source["user"] for source in found["datasources"]}


def panel_questions() -> list[Question]:
    """Every panel and variable of every dashboard but ``explore``, as when it is opened."""
    return [
        question
        for path in sorted(DASHBOARDS.glob("*.json"))
        if path.stem != EXPLORE.name
        for question in _of(path)
    ]


def _of(path: Path, chosen: Mapping[str, str] | None = None) -> list[Question]:
    """What a dashboard asks; ``chosen``: variables as they stand in SQL, the others as when it is opened."""
    dashboard, role_of = json.loads(path.read_text("utf-8")), roles()
    known = dashboard["templating"]["list"]
    variables = {variable["name"]: initial_value(variable) for variable in known} | dict(chosen or {})
    return [
        Question(f"{path.stem}: {name}", role_of[source["uid"]], _at_its_time(path, sql), variables)
        for name, source, sql in _queries(dashboard)
    ]


def _at_its_time(path: Path, sql: str) -> str:
    return sql.replace("now()", f"'{END.isoformat()}'::timestamptz") if path.stem == "realtime" else sql


def _queries(dashboard: dict[str, Any]) -> list[tuple[str, dict[str, str], str]]:
    """Name, data source and SQL."""
    variables = [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    return [(f"variable {v['name']}", v["datasource"], v["query"]) for v in variables] + [
        (panel["title"], target["datasource"], target["rawSql"])
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]


def view_questions() -> list[Question]:
    """The first of each reporting view, added up by texts, as whoever makes a panel of it would ask."""
    return [Question(path.stem, READER, path.read_text("utf-8")) for path in sorted(VIEWS.glob("*.sql"))]


def explore_questions() -> list[Question]:
    """Those of the folder explore, each with three filters, and the dashboard's panels with each of ``CHOSEN``."""
    page = pages_of(shape.SITES[0])[0].path
    written = [
        Question(path.stem, EXPLORER, path.read_text("utf-8"), ALL_SITES | {"page": page})
        for path in sorted(EXPLORE.glob("*.sql"))
    ]
    return written + [
        replace(question, name=f"{question.name} ({words})")
        for words, chosen in CHOSEN.items()
        for question in _of(DASHBOARDS / f"{EXPLORE.name}.json", chosen)
        if question.role == EXPLORER
    ]
