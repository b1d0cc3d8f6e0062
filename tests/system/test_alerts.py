"""What a real Grafana, where there is one, makes of the provisioned alert rules and contact points."""

from __future__ import annotations

import json
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml  # type: ignore[import-untyped]

from tests.system.stack import ROOT, Stack

pytestmark = pytest.mark.system

RULES = ROOT / "grafana/provisioning/alerting/footfall.yml"
# Two sites that are five weeks old; one has many readers now, the other none.
SITES = """
    insert into sites (site, used_on) values ('blog.example', current_date), ('o''shop & co.example', current_date);
    insert into rollup_hours
    select at::date, site_id, at, usual, usual, 0, 0, 0
    from (select site_id, case site when 'blog.example' then 12 else 6000 end as usual,
                 case site when 'blog.example' then '0 hours' else '2 hours' end::interval as quiet from sites) s,
         generate_series((current_date - 35)::timestamptz, now() - quiet, '1 hour') as at;
    insert into rollup_traffic
    select day, site_id, sum(pageviews), sum(visitors), 0, 0, 0 from rollup_hours group by 1, 2;
    update rollup_hours set pageviews = 1204, visitors = 1000
    where site_id = (select site_id from sites where site = 'blog.example')
      and hour_starts_at = date_trunc('hour', now());
    insert into rollup_sources
    select current_date, site_id, 'Hacker News', 'News', 1100, 900 from sites where site = 'blog.example'"""


def asked(stack: Stack, path: str, body: Any = None) -> Any:
    """Grafana's answer to its user admin."""
    password = (Path(stack.data_dir) / "keys/passwords/grafana_admin").read_text().strip()
    token = b64encode(f"admin:{password}".encode()).decode()
    request = urllib.request.Request(
        stack.urls["GRAFANA_URL"] + path,
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        data=json.dumps(body).encode() if body else None,
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def evaluated(stack: Stack, uid: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Labels and number of each row that Grafana makes of each step of a rule."""
    [group] = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    [rule] = [rule for rule in group["rules"] if rule["uid"] == uid]
    sources = {"footfall": "postgres", "__expr__": "__expr__"}
    queries = [
        {
            **step["model"],
            "datasource": {"uid": step["datasourceUid"], "type": sources[step["datasourceUid"]]},
        }
        for step in rule["data"]
    ]
    results = asked(stack, "/api/ds/query", {"queries": queries, "from": "now-10m", "to": "now"})["results"]
    return {
        name: [
            (f["schema"]["fields"][0].get("labels", {}), f["data"]["values"][0][0]) for f in result["frames"]
        ]
        for name, result in results.items()
    }


def test_each_site_is_an_alert_of_its_own_with_its_figures(grafana_stack: Stack) -> None:
    with psycopg.connect(grafana_stack.urls["OWNER_DATABASE_URL"]) as owner:
        owner.execute(SITES)
    labels = {"site": "blog.example", "source": "Hacker News", "channel": "News"}
    assert evaluated(grafana_stack, "footfall-spike") == {
        "pageviews": [(labels, 1204)],
        "usual": [(labels, 12)],
        "fires": [(labels, 1)],
    }
    quiet = evaluated(grafana_stack, "footfall-no-hits")
    assert quiet["fires"] == [({"site": "o'shop & co.example"}, 1)]
    assert quiet["usual"][0][1] >= 6000


def test_links_begin_with_the_address_that_the_settings_name(grafana_stack: Stack) -> None:
    settings = asked(grafana_stack, "/api/frontend/settings")
    assert settings["appUrl"] == "https://stats.example/g/"


def test_no_row_is_no_alert(grafana_stack: Stack) -> None:
    assert evaluated(grafana_stack, "footfall-missing")["fires"] == []


def test_grafana_tells_whom_the_settings_name(grafana_stack: Stack) -> None:
    points = asked(grafana_stack, "/api/v1/provisioning/contact-points")
    ours = {point["uid"]: point["settings"] for point in points if point["name"] == "Footfall"}
    assert {uid: settings["url"] for uid, settings in ours.items()} == {
        "footfall-webhook": "http://127.0.0.1:9/a$b"
    }
    assert ours["footfall-webhook"]["authorization_credentials"] == "[REDACTED]"
    assert "s3cret" not in json.dumps(asked(grafana_stack, "/api/alertmanager/grafana/config/api/v1/alerts"))
    policy = asked(grafana_stack, "/api/v1/provisioning/policies")
    assert (policy["receiver"], policy["repeat_interval"]) == ("Footfall", "12h")
