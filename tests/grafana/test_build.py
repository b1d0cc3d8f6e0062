"""The committed dashboards are as built, and of a form that Grafana 9.4 and the newest take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from grafana.build import FOLDER, differences, main, write
from grafana.definitions import DASHBOARDS
from grafana.definitions.alerts import ALERTS
from grafana.panels import NO_DATA, READER, SQL, VIEWS, WHOLE_DAYS, WHOLE_DAYS_OF_RANGE
from grafana.tables import KEPT
from tests.grafana.dashboards import (
    Json,
    data_sources,
    load_dashboards,
    overridden_fields,
    panels_with_data,
    values_of,
)

# On 9.4 and on the newest; not `graph` and `table-old`, which are gone.
PANEL_TYPES = {
    "barchart", "bargauge", "gauge", "geomap", "heatmap", "histogram", "logs", "piechart", "stat",
    "state-timeline", "status-history", "table", "text", "timeseries",
}  # fmt: skip
FILES = load_dashboards()
# Contract section 4, in the order of the links.
UIDS = ["overview", "pages", "sources", "audience", "campaigns", "events", "missing", "bots", "realtime",
        "explore", "pipeline"]  # fmt: skip


@pytest.fixture(params=FILES)
def dashboard(request: pytest.FixtureRequest) -> Json:
    return FILES[request.param]


def test_the_committed_dashboards_are_as_built() -> None:
    assert differences(FOLDER) == []


def test_check_names_what_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "dashboards"
    monkeypatch.setattr("grafana.build.FOLDER", folder)
    assert main([]) == 0
    assert main(["--check"]) == 0
    (folder / "overview.json").write_text("{}")
    (folder / "edited-by-hand.json").write_text("{}")
    (tmp_path / "provisioning/alerting/footfall.yml").write_text("{}")
    assert main(["--check"]) == 1
    differing = "overview.json differs\nfootfall.yml differs\nedited-by-hand.json is not built\n"
    assert differing in capsys.readouterr().err


def test_writing_removes_what_is_not_built(tmp_path: Path) -> None:
    folder = tmp_path / "dashboards"
    folder.mkdir()
    (folder / "former.json").write_text("{}")
    write(folder)
    assert sorted(path.stem for path in folder.iterdir()) == sorted(d.uid for d in DASHBOARDS)


# What two dashboards show alike.
SHARED = {
    "overview/countries_map.sql", "overview/visitors.sql",
    "pages/pages_a_session.sql", "pages/single_page_sessions.sql",
}  # fmt: skip


def test_every_file_of_sql_is_used_once_and_names_itself() -> None:
    used = [text for file in FILES.values() for text in values_of(file, "rawSql")]
    variable = {v["name"]: v["query"] for file in FILES.values() for v in file["templating"]["list"]}.values()
    for path in sorted(SQL.rglob("*.sql")):
        text = path.read_text("utf-8")
        assert text.startswith(f"-- {path.relative_to(SQL).as_posix()}: "), path
        times = used.count(text.strip()) + list(variable).count(text.strip())
        if path.parent.name == "annotations":
            assert times >= 1, path
        elif path.parent.name == "alerts":
            assert [alert.sql for alert in ALERTS].count(path.name) == 1, path
        else:
            shared = path.relative_to(SQL).as_posix() in SHARED
            assert times == (path.parent != VIEWS) + shared, path
        assert "--" not in text.replace("\n--", "").lstrip("-"), f"{path}: comments stand at the top"


def test_uids_are_those_of_the_files_and_the_generator_is_named(dashboard: Json) -> None:
    assert FILES[dashboard["uid"]] == dashboard
    assert len({file["uid"] for file in FILES.values()}) == len({file["title"] for file in FILES.values()})
    assert "python -m grafana.build" in dashboard["description"]


def test_range_zone_and_links(dashboard: Json) -> None:
    assert dashboard["schemaVersion"] == 37
    begin = {"realtime": "now-30m"}.get(dashboard["uid"], "now-30d")
    assert dashboard["time"] == {"from": begin, "to": "now"}
    assert dashboard["timezone"] == ""
    assert [link["url"] for link in dashboard["links"]] == [f"/d/{uid}" for uid in UIDS]
    assert all(link["keepTime"] and link["includeVars"] for link in dashboard["links"])


def test_there_are_the_dashboards_of_the_contract() -> None:
    assert list(FILES) == sorted(UIDS)


def test_every_panel_has_an_id_a_known_type_and_a_description(dashboard: Json) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in dashboard["panels"]:
        assert panel["type"] in PANEL_TYPES
        assert len(panel["description"]) > 15, panel["title"]


def test_no_panel_lies_on_another(dashboard: Json) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def test_daily_panels_say_that_they_cover_whole_days(dashboard: Json) -> None:
    for panel in panels_with_data(dashboard):
        (target,) = panel["targets"]
        # What begins its days within the range asks for hours or minutes, and says so itself.
        daily = WHOLE_DAYS_OF_RANGE.search(target["rawSql"]) and target["datasource"] == READER
        assert bool(daily) == (WHOLE_DAYS in panel["description"]), panel["title"]


def test_every_data_source_is_one_of_ours(dashboard: Json) -> None:
    assert {source["uid"] for source in values_of(dashboard, "datasource")} <= set(data_sources())
    assert {source["type"] for source in values_of(dashboard, "datasource")} == {"postgres"}


# Where nothing to show is no lack of data.
EMPTY = {
    "Gaps": "No gap", "Late hits": "None came late", "Dead letters": "None", "Disk lasts": "Known after two days",
    "Recent posts": "No post yet: setting FEEDS", "Feeds": "No feed: setting FEEDS",
    "Pageviews of missing pages over time": "No missing page", "What to mend": "No missing page",
    "Who links to missing pages": "No missing page",
}  # fmt: skip


def test_an_empty_result_is_said_in_words(dashboard: Json) -> None:
    for panel in panels_with_data(dashboard):
        said = panel["fieldConfig"]["defaults"]["noValue"]
        if (dashboard["uid"], panel["title"]) == ("overview", "Missing pages"):  # on "missing" it is a figure
            assert said == "No missing page"
        else:
            assert said == EMPTY.get(panel["title"], NO_DATA)
        assert isinstance(panel["fieldConfig"]["defaults"]["custom"], dict)


def test_nothing_is_fetched_from_the_internet(dashboard: Json) -> None:
    for panel in dashboard["panels"]:
        if panel["type"] == "geomap":
            assert panel["options"]["basemap"]["type"] == "geojson"
        for key in ("src", "gazetteer"):
            assert all(file.startswith("public/") for file in values_of(panel, key)), panel["title"]
        assert not values_of(panel, "server")


def test_gauges_in_cells_are_written_as_9_4_reads_them(dashboard: Json) -> None:
    for panel in dashboard["panels"]:
        if panel["type"] == "table":
            assert "cellOptions" not in str(panel)
            modes = [p.get("custom.displayMode") for p in overridden_fields(panel).values()]
            assert set(modes) <= {None, "basic", "color-background-solid"}


def test_a_gauge_is_never_filled_by_the_numbers_of_another_unit(dashboard: Json) -> None:
    for panel in dashboard["panels"]:
        if panel["type"] == "table":
            columns = [p for p in overridden_fields(panel).values() if "unit" in p]
            gauges = [p for p in columns if p.get("custom.displayMode") == "basic" and "max" not in p]
            assert {p["unit"] for p in columns} == {p["unit"] for p in gauges} or not gauges, panel["title"]


def test_every_panel_has_a_title_and_every_figure_and_curve_a_unit(dashboard: Json) -> None:
    for panel in dashboard["panels"]:
        assert panel["title"]
        defaults = panel.get("fieldConfig", {}).get("defaults", {})
        if panel["type"] == "stat" and panel["options"]["reduceOptions"]["fields"]:
            assert "unit" not in defaults, "words say their unit themselves: 47 s ago"
        elif panel["type"] not in ("text", "table"):  # of a table each number, see test_panels
            assert defaults["unit"], panel["title"]


def test_addresses_in_links_are_not_encoded_twice(dashboard: Json) -> None:
    field = r"\$\{__data\.fields\.\w+:percentencode\}"
    explored = rf"{re.escape(f'/d/explore?{KEPT}')}(&\$\{{\w+:queryparam\}})*(&var-\w+={field})+"
    known = rf"\$\{{__data\.fields\.\w+:raw\}}|{explored}"
    for url in (url for panel in dashboard["panels"] for url in values_of(panel, "url")):
        assert re.fullmatch(known, url)


# What is the same whatever site is chosen, and says so.
OF_NO_SITE = {
    "Jobs", "Feeds", "Last hit", "Last look", "Oldest entry", "Mean delay", "Longest delay",
    "Open letters", "Ledger faults", "Disk lasts", "Disk free", "Hits stored a minute",
    "Ingest delay", "Gaps", "Installation",
}  # fmt: skip


def test_all_is_a_value_that_needs_no_row(dashboard: Json) -> None:
    site, traffic, *filters = dashboard["templating"]["list"]
    assert (site["name"], traffic["name"]) == ("site", "traffic")
    for variable in (site, *filters):
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, "'__all__'")
    for panel in panels_with_data(dashboard):
        sql = panel["targets"][0]["rawSql"]
        assert "$site" in sql or panel["title"] in OF_NO_SITE
        # Functions know the value of their own.
        assert sql.count("'__all__' in ($site)") * 2 == sql.count("$site") - sql.count("array[$site]")


def test_countries_are_credited_where_they_are_shown(dashboard: Json) -> None:
    shows = any("daily_countries" in sql or "join countries" in sql for sql in values_of(dashboard, "rawSql"))
    credits = [text for text in values_of(dashboard, "content") if "https://db-ip.com" in text]
    assert bool(credits) == shows
    for text in credits:
        assert "CC BY 4.0" in text
        assert "This product includes GeoLite Data created by MaxMind, available from" in text
        assert "(https://www.maxmind.com)" in text


def test_an_axis_of_whole_numbers_has_no_halves(dashboard: Json) -> None:
    """Up to 3, 9.4 marks them, and writes "No data yet" there."""
    for panel in panels_with_data(dashboard):
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] == "timeseries" and defaults.get("decimals") == 0:
            assert defaults["custom"]["axisSoftMax"] >= 5, panel["title"]
