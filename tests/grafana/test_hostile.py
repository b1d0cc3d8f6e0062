"""What visitors send is shown as text: no panel turns it into HTML, and no link leads anywhere but to the web."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.conftest import Database
from tests.grafana.dashboards import load_dashboards, panels_with_data, values_of
from tests.grafana.rows import BLOG, make_hit, set_zone, store
from tests.grafana.test_panels import run_panel
from tests.system.stack import ROOT

DASHBOARDS = load_dashboards()
SCRIPT = '"><img src=x onerror=alert(1)>{{7*7}}${__user.login}'
HOSTILE: list[dict[str, Any]] = [
    {"path": "/" + SCRIPT, "title": SCRIPT, "status": 404},
    {"path": "/notes", "title": "javascript:alert(1)", "referrer": "javascript:alert(1)", "source": SCRIPT,
     "channel": "Referral"},
    {"path": "/notes", "referrer": "data:text/html," + SCRIPT, "source": "javascript:alert(1)",
     "channel": "Referral"},
    {"path": "//evil.example/@" + BLOG, "utm_campaign": SCRIPT, "utm_source": SCRIPT, "source": SCRIPT,
     "channel": "Campaign"},
]  # fmt: skip


@pytest.mark.parametrize("name", DASHBOARDS)
def test_no_panel_shows_what_was_sent_as_html(name: str) -> None:
    dashboard = DASHBOARDS[name]
    for panel in dashboard["panels"]:
        if panel["type"] == "text":
            assert panel["options"]["mode"] == "markdown"
            assert not re.findall(r"\$(?!__)|\{\{", panel["options"]["content"]), "no variable, no data"
    # A cell that Grafana would read as markdown or HTML.
    assert not {"markdown", "html"} & {str(v) for v in values_of(panels_with_data(dashboard), "cellOptions")}
    assert "renderMarkdown" not in json.dumps(dashboard)


def test_grafana_s_own_cleaning_is_left_on() -> None:
    for path in ("docker-compose.yml", "tools/run_grafana.py"):
        assert "SANITIZE" not in (ROOT / path).read_text().upper()


@pytest.mark.servers
def test_a_link_leads_to_the_web_or_nowhere(database: Database) -> None:
    with database.connect() as connection:
        set_zone(connection)
        store(connection, [make_hit(n, 10, "a", **differing) for n, differing in enumerate(HOSTILE)])
    links = 0
    for dashboard in DASHBOARDS.values():
        for panel in panels_with_data(dashboard):
            columns = set(re.findall(r"\$\{__data\.fields\.(\w+):raw\}", json.dumps(panel)))
            if not columns:
                continue
            for row in run_panel(database, dashboard, panel).rows:
                for column in columns:
                    address = str(row[column])
                    assert re.match(r"https?://|about:blank\Z", address), address
                    links += 1
    assert links >= len(HOSTILE), "the hostile hits are shown"
