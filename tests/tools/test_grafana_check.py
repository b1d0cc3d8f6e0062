"""What `make grafana-check` asks, and says where no Grafana is; all of it on a real Grafana, if there is one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.system.stack import Stack, free_ports
from tools import grafana_check
from tools.grafana_client import errors_in
from tools.grafana_wanted import (
    alert_rules,
    dashboards,
    data_sources,
    differing_panels,
    question_of,
    questions,
)

READER = {"type": "postgres", "uid": "footfall"}
DASHBOARD: dict[str, Any] = {
    "uid": "pages",
    "time": {"from": "now-7d", "to": "now"},
    "templating": {"list": [
        {"type": "query", "name": "site", "datasource": READER, "query": "select site from sites", "multi": True,
         "includeAll": True, "allValue": "'__all__'", "current": {"value": ["$__all"]}},
        {"type": "custom", "name": "traffic", "query": "people,bots", "current": {"value": "people"}},
        {"type": "textbox", "name": "word", "query": "o'clock"},
    ]},
    "annotations": {"list": [
        {"name": "Posts", "datasource": READER, "target": {"rawSql": "select 1 where '$site' = $__timeFrom()"}},
        {"name": "Alerts", "datasource": {"type": "datasource", "uid": "grafana"}, "target": {"type": "dashboard"}},
    ]},
    "panels": [
        {"id": 1, "type": "stat", "title": "Figure", "targets": [{
            "refId": "A", "datasource": READER, "format": "table",
            "rawSql": "select 1 where site in (${site}) and '$traffic' = '[[word]]' and t > $__timeFrom()"}]},
        {"id": 2, "type": "row", "title": "More", "panels": [
            {"id": 3, "type": "table", "title": "Within", "targets": [
                {"refId": "A", "datasource": READER, "rawSql": "select 3"}]}]},
        {"id": 4, "type": "text", "title": "Words"},
    ],
}  # fmt: skip


def test_what_a_dashboard_asks_with_variables_as_nobody_has_chosen_yet_and_macros_left() -> None:
    asked = {q.what: q for q in questions(DASHBOARD)}
    assert {what: [query["rawSql"] for query in q.queries] for what, q in asked.items()} == {
        "pages, variable site": ["select site from sites"],
        "pages, annotation Posts": ["select 1 where ''__all__'' = $__timeFrom()"],
        "pages, panel Figure": [
            "select 1 where site in ('__all__') and 'people' = 'o''clock' and t > $__timeFrom()"
        ],
        "pages, panel Within": ["select 3"],
    }
    assert {(q.begin, q.end) for q in asked.values()} == {("now-7d", "now")}


def test_every_question_of_the_committed_dashboards_is_asked() -> None:
    for dashboard in dashboards():
        asked = [query["rawSql"] for question in questions(dashboard) for query in question.queries]
        with_sql = [panel for panel in dashboard["panels"] if panel.get("targets")]
        assert len(asked) >= len(with_sql) > 0
        assert not [sql for sql in asked if "$site" in sql]


def test_an_alert_asks_all_its_figures() -> None:
    for rule in alert_rules():
        question = question_of(rule)
        assert len(question.queries) == len(rule["data"]) - 1
        assert {query["datasource"]["uid"] for query in question.queries} <= set(data_sources())


def test_panels_that_differ_are_named() -> None:
    found = json.loads(json.dumps(DASHBOARD))
    assert differing_panels(DASHBOARD, found) == []
    found["panels"][0]["targets"][0]["rawSql"] += " limit 1"
    del found["panels"][1]["panels"]
    found["panels"].append({"id": 9, "type": "text", "title": "By hand"})
    assert differing_panels(DASHBOARD, found) == [
        "no panel 'Within'",
        "panel 'By hand' is not ours",
        "panel 'Figure' is another",
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"results": {"A": {"frames": []}}}, ""),
        ({"results": {"A": {"error": "no table"}, "B": {"frames": []}}}, "A: no table"),
        ({"message": "no"}, ""),
        ([], ""),
        ("<html>", ""),
    ],
)
def test_the_errors_of_an_answer(answer: Any, said: str) -> None:
    assert errors_in(answer) == said


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server that is no Grafana: each path is a page."""

    class Page(SimpleHTTPRequestHandler):
        def send_head(self) -> Any:
            (tmp_path / "page").write_text("<html>")
            self.path = "/page"
            return super().send_head()

        def translate_path(self, path: str) -> str:
            return str(tmp_path / "page")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def said(capsys: pytest.CaptureFixture[str]) -> str:
    assert grafana_check.main() == 1
    return capsys.readouterr().err


def test_who_is_asked_and_does_not_answer_as_grafana_is_named(
    web: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRAFANA_PASSWORD", "secret")
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    for url, words in (
        (web, "is not Grafana"),
        (nobody, "does Grafana run?"),
        ("127.0.0.1:3000", "not an address"),
    ):
        monkeypatch.setenv("GRAFANA_URL", url)
        error = said(capsys)
        assert words in error
        assert url in error
        assert "secret" not in error


def test_no_password_is_sent_to_a_grafana_that_is_not_ours(
    web: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GRAFANA_PASSWORD", raising=False)
    monkeypatch.setenv("GRAFANA_URL", web)
    assert "GRAFANA_URL: with it set GRAFANA_PASSWORD" in said(capsys)


def test_without_a_stack_it_says_what_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GRAFANA_URL", raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert "make run" in said(capsys)


@pytest.mark.system
def test_a_grafana_of_ours_passes(grafana_stack: Stack) -> None:
    answer = grafana_stack.make("grafana-check", check=False)
    assert answer.returncode == 0, answer.stdout
    assert answer.stdout.startswith("grafana-check passed")
    for dashboard in dashboards():
        assert f"dashboard {dashboard['uid']}, " in answer.stderr


@pytest.mark.system
def test_what_errs_is_named(grafana_stack: Stack) -> None:
    with grafana_stack.connect() as owner:
        owner.execute("revoke select on rollup_pending from grafana_reader")
        try:
            answer = grafana_stack.make("grafana-check", check=False)
        finally:
            owner.execute("grant select on rollup_pending to grafana_reader")
    assert answer.returncode != 0
    assert "pipeline, panel Oldest waits: A: " in answer.stdout
    assert "alert The figures are behind: seconds: " in answer.stdout
    assert "permission denied for table rollup_pending" in answer.stdout
    assert "overview" not in answer.stdout
