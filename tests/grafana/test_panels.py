"""Every panel's SQL runs as its role on a real, migrated PostgreSQL, empty and filled.

The columns are those that the panel's options, overrides and links name, of types that Grafana can draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from grafana.expand import expand, initial_value, variable_value
from grafana.panels import NO_DATA, READER, VIEWS
from grafana.variables import ALL
from tests.conftest import Database
from tests.grafana.dashboards import (
    Json,
    load_dashboards,
    overridden_fields,
    panels_with_data,
    referred_fields,
    role_of,
)
from tests.grafana.rows import BEGIN, BLOG, END, SHOP, fill, fill_now, set_zone

pytestmark = pytest.mark.servers

FILES = load_dashboards()
TEXT = {"text", "bpchar"}
NUMBER = {"int4", "int8", "numeric", "float8"}


class Result(NamedTuple):
    """Rows, and each column's PostgreSQL type by its name."""

    columns: dict[str, str]
    rows: list[dict[str, Any]]


def run(
    database: Database,
    datasource: Json,
    sql: str,
    variables: dict[str, str],
    begin: datetime = BEGIN,
    end: datetime = END,
) -> Result:
    """A query as Grafana would send it, as the role of its data source."""
    with database.connect(role_of(datasource)) as connection:
        cursor = connection.execute(expand(sql, variables, begin, end))
        assert cursor.description
        columns = {
            column.name: connection.adapters.types[column.type_code].name for column in cursor.description
        }
        assert len(columns) == len(cursor.description), "two columns of one name"
        return Result(columns, [dict(zip(columns, row, strict=True)) for row in cursor])


def run_panel(
    database: Database,
    dashboard: Json,
    panel: Json,
    sites: Sequence[str] = (ALL,),
    begin: datetime = BEGIN,
    end: datetime = END,
) -> Result:
    (target,) = panel["targets"]
    return run(database, target["datasource"], target["rawSql"], chosen(dashboard, sites), begin, end)


def chosen(dashboard: Json, sites: Sequence[str] = (ALL,), **values: Sequence[str]) -> dict[str, str]:
    """The dashboard's variables as they stand in SQL: these sites and values, else what is chosen at first."""
    values = {"site": sites, **values}
    return {
        v["name"]: variable_value(v, values[v["name"]]) if v["name"] in values else initial_value(v)
        for v in dashboard["templating"]["list"]
    }


def panel_named(uid: str, title: str) -> Json:
    found: list[Json] = [panel for panel in FILES[uid]["panels"] if panel["title"] == title]
    assert len(found) == 1
    return found[0]


@pytest.fixture(params=FILES)
def dashboard(request: pytest.FixtureRequest) -> Json:
    return FILES[request.param]


def kinds(result: Result) -> list[str]:
    """The columns as time, text or number, in order."""
    names = {"timestamptz": "time"} | dict.fromkeys(TEXT, "text") | dict.fromkeys(NUMBER, "number")
    return [names.get(kind, f"{kind} is drawn by no panel") for kind in result.columns.values()]


def check_stat(panel: Json, result: Result) -> None:
    if panel["options"]["reduceOptions"]["fields"]:
        # A figure with the words for its change, or words alone.
        assert kinds(result) == ["text"]
    elif transformations := panel.get("transformations"):
        (rows_to_fields,) = transformations
        assert kinds(result) == ["number", "text", "text"]
        assert [m["fieldName"] for m in rows_to_fields["options"]["mappings"]] == list(result.columns)
        assert {row["colour"] for row in result.rows} <= {"green", "red", "text"}
    else:
        assert kinds(result) == ["number"]
    assert len(result.rows) <= 1
    assert None not in [value for row in result.rows for value in row.values()]


def check_timeseries(panel: Json, result: Result) -> None:
    assert panel["targets"][0]["format"] == "time_series"
    assert next(iter(result.columns)) == "time"
    if "metric" in result.columns:
        assert overridden_fields(panel) == {}
        assert kinds(result) == ["time", "text", "number"]
        lines = {(row["time"], row["metric"]) for row in result.rows}
        assert len(lines) == len(result.rows), "two points of one line at one time"
    else:
        assert kinds(result) == ["time"] + ["number"] * len(overridden_fields(panel))
        assert set(result.columns) == {"time", *overridden_fields(panel)}
    times = [row["time"] for row in result.rows]
    assert times == sorted(times)


def check_table(panel: Json, result: Result) -> None:
    fields = overridden_fields(panel)
    assert list(result.columns) == list(fields), "the table shows the columns in the order of the SQL"
    for kind, (name, properties) in zip(kinds(result), fields.items(), strict=True):
        assert kind == ("number" if "unit" in properties else "text"), name
    for row in result.rows:
        assert None not in row.values(), f"the cell would say {panel['fieldConfig']['defaults']['noValue']!r}"
        assert "" not in row.values()


def check_geomap(panel: Json, result: Result) -> None:
    assert kinds(result) == ["text", "text", "text", "number", "number"]
    if result.rows:
        first, *countries = result.rows
        assert set(first.values()) == {None}, "Grafana never colours the first row"
        codes = [row["alpha_3"] for row in countries]
        assert None not in codes
        assert len(set(codes)) == len(codes)


CHECKS = {
    "stat": check_stat,
    "timeseries": check_timeseries,
    "table": check_table,
    "geomap": check_geomap,
}


def test_an_empty_database_gives_no_row_and_no_error(database: Database, dashboard: Json) -> None:
    for panel in panels_with_data(dashboard):
        result = run_panel(database, dashboard, panel)
        assert result.rows == [], panel["title"]
        CHECKS[panel["type"]](panel, result)


@pytest.fixture
def visited(dashboard: Json, request: pytest.FixtureRequest) -> Database:
    """The filled database; for a dashboard that asks about now, one with hits of now."""
    if dashboard["uid"] != "realtime":
        filled: Database = request.getfixturevalue("filled")
        return filled
    database: Database = request.getfixturevalue("database")
    with database.connect() as connection:
        set_zone(connection)
        fill_now(connection)
    return database


@pytest.mark.parametrize("sites", [[ALL], [BLOG], [BLOG, SHOP]], ids=["all", "one", "two"])
def test_every_panel_of_a_filled_database_gives_its_columns(
    visited: Database, dashboard: Json, sites: list[str]
) -> None:
    for panel in panels_with_data(dashboard):
        result = run_panel(visited, dashboard, panel, sites)
        assert result.rows, panel["title"]
        assert referred_fields(panel) <= set(result.columns), panel["title"]
        CHECKS[panel["type"]](panel, result)


def test_a_site_that_was_never_counted_is_no_error(filled: Database, dashboard: Json) -> None:
    for panel in panels_with_data(dashboard):
        CHECKS[panel["type"]](panel, run_panel(filled, dashboard, panel, ["never.example"]))


def test_every_variable_is_asked_as_its_role(database: Database, dashboard: Json) -> None:
    asked = [variable for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    for variable in asked:
        (row,) = run(database, variable["datasource"], variable["query"], chosen(dashboard)).rows
        assert set(row.values()) == {NO_DATA}, "9.4 shows an error for a variable without a value"
    with database.connect() as connection:
        fill(connection)
    for variable in asked:
        result = run(database, variable["datasource"], variable["query"], chosen(dashboard))
        assert result.rows, variable["name"]
        assert set(result.columns) in ({"__text", "__value"}, {variable["name"]})
        if variable["name"] == "site":
            assert [row["site"] for row in result.rows] == [BLOG, SHOP]


def test_every_annotation_is_asked_as_its_role(filled: Database, database: Database, dashboard: Json) -> None:
    for annotation in dashboard["annotations"]["list"]:
        sql = annotation["target"]["rawSql"]
        assert run(database, annotation["datasource"], sql, chosen(dashboard)).rows == []
        result = run(filled, annotation["datasource"], sql, chosen(dashboard))
        assert result.rows, annotation["name"]
        assert {"time", "text"} <= set(result.columns) <= {"time", "timeend", "text", "tags"}


def test_every_reporting_view_has_its_question(database: Database) -> None:
    with database.connect() as connection:
        views = connection.execute(
            "select viewname from pg_views"
            " where schemaname = 'public' and (viewname like 'daily_%' or viewname = 'hourly_traffic')"
        ).fetchall()
    assert {name for (name,) in views} == {path.stem for path in VIEWS.glob("*.sql")}


@pytest.mark.parametrize("view", sorted(path.stem for path in VIEWS.glob("*.sql")))
def test_a_reporting_view_answers_as_a_panel_asks_it(filled: Database, view: str) -> None:
    sql = (VIEWS / f"{view}.sql").read_text("utf-8")
    assert f"from {view}\n" in sql
    every, never = (run(filled, READER, sql, {"site": sites}) for sites in ("'__all__'", "'never.example'"))
    assert every.rows
    assert never.rows == []
