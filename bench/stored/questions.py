"""What is asked of the data set: the SQL of every panel, of every reporting view, and of exploring.

A question is what a dashboard holds; ``grafana.expand`` makes SQL of it for a range, as Grafana would.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """Every panel and variable of every dashboard that reads what the reader's role may: not single hits."""
    role_of = roles()
    found = [
        Question(name, role_of[source["uid"]], sql, variables)
        for path in sorted(DASHBOARDS.glob("*.json"))
        for name, source, sql, variables in _queries(json.loads(path.read_text("utf-8")))
    ]
    return [question for question in found if question.role == READER]


def _queries(dashboard: dict[str, Any]) -> list[tuple[str, dict[str, str], str, dict[str, str]]]:
    """Name, data source, SQL and variables, as when the dashboard is opened: all sites are chosen."""
    known = [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    variables = {variable["name"]: initial_value(variable) for variable in dashboard["templating"]["list"]}
    uid = dashboard["uid"]
    return [(f"{uid}: variable {v['name']}", v["datasource"], v["query"], variables) for v in known] + [
        (f"{uid}: {panel['title']}", target["datasource"], target["rawSql"], variables)
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    ]


def view_questions() -> list[Question]:
    """The first of each reporting view, added up by texts, as whoever makes a panel of it would ask."""
    return [Question(path.stem, READER, path.read_text("utf-8")) for path in sorted(VIEWS.glob("*.sql"))]


def explore_questions() -> list[Question]:
    """Those of the folder explore, each with three filters."""
    variables = ALL_SITES | {"page": pages_of(shape.SITES[0])[0].path}
    return [
        Question(path.stem, EXPLORER, path.read_text("utf-8"), variables)
        for path in sorted(EXPLORE.glob("*.sql"))
    ]
