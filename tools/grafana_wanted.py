"""What a Grafana of ours should have, by the files of this checkout, and the questions that its pages would ask."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml  # type: ignore[import-untyped]

from grafana.expand import variable_value, with_variables
from grafana.panels import Json
from grafana.variables import ALL

GRAFANA = Path(__file__).resolve().parents[1] / "grafana"


class Question(NamedTuple):
    """One request to `/api/ds/query`."""

    what: str  # whose it is, for a finding
    queries: list[Json]
    begin: str  # as Grafana writes it: now-30d
    end: str


def dashboards(folder: Path = GRAFANA / "dashboards") -> list[Json]:
    """The dashboards as committed."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))]


def data_sources() -> dict[str, Json]:
    """The provisioned data sources by uid."""
    found = yaml.safe_load((GRAFANA / "provisioning/datasources/footfall.yml").read_text("utf-8"))
    return {source["uid"]: source for source in found["datasources"]}


def alert_rules() -> list[Json]:
    """The provisioned rules."""
    found = yaml.safe_load((GRAFANA / "provisioning/alerting/footfall.yml").read_text("utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


def panels(dashboard: Json) -> Iterator[Json]:
    """Its panels; those of a row that is closed stand inside of it."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def _defaults(dashboard: Json) -> dict[str, str]:
    """The value of each variable when nobody has chosen yet, as the browser writes it into SQL."""
    values = {}
    for variable in dashboard["templating"]["list"]:
        current = variable.get("current", {}).get("value", variable.get("query", ""))
        chosen = current if isinstance(current, list) else [str(current)]
        all_of_it = variable.get("includeAll") and chosen in ([ALL], [])
        whole = {"multi": False, "includeAll": False, **variable}
        values[variable["name"]] = variable_value(whole, [ALL] if all_of_it else chosen)
    return values


def _query(source: Json, name: str, sql: str, result: str) -> Json:
    # The two numbers are those of a panel 1,000 pixels wide; macros over time ask for them.
    return {
        "refId": name,
        "datasource": source,
        "format": result,
        "rawQuery": True,
        "rawSql": sql,
        "intervalMs": 60_000,
        "maxDataPoints": 1000,
    }


def questions(dashboard: Json) -> Iterator[Question]:
    """What a browser asks when the dashboard is opened: variables, annotations, panels."""
    values, uid, time = _defaults(dashboard), dashboard["uid"], dashboard["time"]
    ours = data_sources()

    def question(what: str, source: Json, asked: list[tuple[str, str, str]]) -> Question:
        queries = [_query(source, name, with_variables(sql, values), result) for name, sql, result in asked]
        return Question(f"{uid}, {what}", queries, time["from"], time["to"])

    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query" and variable["datasource"]["uid"] in ours:
            asked = [("variable", variable["query"], "table")]
            yield question(f"variable {variable['name']}", variable["datasource"], asked)
    for annotation in dashboard["annotations"]["list"]:
        sql = annotation.get("target", {}).get("rawSql") or annotation.get("rawQuery", "")
        if sql and annotation["datasource"]["uid"] in ours:
            asked = [("annotation", sql, "table")]
            yield question(f"annotation {annotation['name']}", annotation["datasource"], asked)
    for panel in panels(dashboard):
        targets = [target for target in panel.get("targets", []) if target.get("rawSql")]
        for source in dict.fromkeys(json.dumps(target["datasource"]) for target in targets):
            of_source = [target for target in targets if json.dumps(target["datasource"]) == source]
            asked = [(t["refId"], t["rawSql"], t.get("format", "table")) for t in of_source]
            yield question(f"panel {panel['title'] or panel['id']}", json.loads(source), asked)


def question_of(rule: Json) -> Question:
    """What Grafana asks for an alert rule; without the threshold, whose errors hide those of the SQL."""
    queries = [
        {**step["model"], "datasource": {"type": "postgres", "uid": step["datasourceUid"]}}
        for step in rule["data"]
        if "rawSql" in step["model"]
    ]
    return Question(f"alert {rule['title']}", queries, "now-10m", "now")


def differing_panels(wanted: Json, found: Json) -> list[str]:
    """How a running dashboard differs from the committed one: panels by id, with title, kind and SQL."""

    def by_id(dashboard: Json) -> dict[int, Json]:
        return {panel["id"]: panel for panel in panels(dashboard)}

    def essence(panel: Json) -> tuple[object, ...]:
        sql = tuple(target.get("rawSql") for target in panel.get("targets", []))
        return panel["type"], panel.get("title"), sql

    ours, theirs = by_id(wanted), by_id(found)
    missing = [f"no panel {ours[key].get('title')!r}" for key in ours.keys() - theirs.keys()]
    foreign = [f"panel {theirs[key].get('title')!r} is not ours" for key in theirs.keys() - ours.keys()]
    other = [
        f"panel {ours[key].get('title')!r} is another"
        for key in ours.keys() & theirs.keys()
        if essence(ours[key]) != essence(theirs[key])
    ]
    return sorted(missing) + sorted(foreign) + sorted(other)
