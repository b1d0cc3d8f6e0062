"""`make grafana-check`: asks a running Grafana for everything that it should have, and fails with what errs.

Its health, the data sources, each dashboard and its panels, each question that a browser would ask when it opens one
(with the variables as nobody has chosen yet), and the alert rules. Grafana is the one of the stack running in
DATA_DIR, or GRAFANA_URL. What a browser makes of the answers is not seen here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from grafana.panels import Json
from services.settings import SettingsError
from tools import grafana_wanted as wanted
from tools.arguments import Argument
from tools.grafana_client import Grafana, NoGrafana, Refused, grafana_password, grafana_url

ARGUMENTS = (
    Argument("GRAFANA_URL", "another Grafana than that of the stack in `DATA_DIR`"),
    Argument("GRAFANA_PASSWORD", "the password of its user `admin`"),
    Argument("GRAFANA_PASSWORD_FILE", "a file that holds it"),
)


def health(grafana: Grafana) -> Iterator[str]:
    """Whether it is Grafana, and well itself."""
    try:
        said = grafana.get("/health")
    except Refused:
        raise NoGrafana(f"what answers at {grafana.url} is not Grafana: GRAFANA_URL names another") from None
    if said.get("database") != "ok":
        yield f"Grafana's own database is {said.get('database')!r}: see its log"


def source_problems(grafana: Grafana, uid: str, source: Json) -> Iterator[str]:
    """What is wrong with a data source."""
    try:
        found = grafana.get(f"/datasources/uid/{uid}")
        if found.get("user") != source["user"]:
            yield f"data source {uid}: its user is {found.get('user')!r}, not {source['user']!r}"
        said = grafana.get(f"/datasources/uid/{uid}/health")
        if said.get("status") != "OK":
            yield f"data source {uid}: {said.get('message')}"
    except Refused as error:
        yield f"data source {uid}: {error}"


def dashboard_problems(grafana: Grafana, dashboard: Json) -> Iterator[str]:
    """What is wrong with a dashboard: that it is not there, not ours, or that a question of it errs."""
    uid = dashboard["uid"]
    try:
        found = grafana.get(f"/dashboards/uid/{uid}")["dashboard"]
    except Refused as error:
        yield f"dashboard {uid}: {error}"
        return
    yield from (f"dashboard {uid}: {line}" for line in wanted.differing_panels(dashboard, found))
    for question in wanted.questions(dashboard):
        yield from asked(grafana, question)


def asked(grafana: Grafana, question: wanted.Question) -> Iterator[str]:
    """The errors of a question."""
    try:
        grafana.ask(question)
    except Refused as error:
        yield f"{question.what}: {error}"


def rule_states(grafana: Grafana) -> dict[str, Json]:
    """What Grafana says of each rule, by title."""
    said = grafana.get("/prometheus/grafana/api/v1/rules")
    return {rule["name"]: rule for group in said["data"]["groups"] for rule in group["rules"]}


def rule_problems(grafana: Grafana, rule: Json, states: dict[str, Json]) -> Iterator[str]:
    """Whether an alert rule is there and works. One that fires works."""
    state = states.get(rule["title"])
    if state is None:
        yield f"alert {rule['title']}: is not there"
        return
    if state["health"] == "error":
        yield f"alert {rule['title']}: {state.get('lastError') or 'its last evaluation failed'}"
    yield from asked(grafana, wanted.question_of(rule))


def checks(grafana: Grafana) -> Iterator[tuple[str, Iterator[str]]]:
    """What is looked at, one after another, each with its findings, which are looked for as they are read."""
    yield "health", health(grafana)
    for uid, source in wanted.data_sources().items():
        yield f"data source {uid}", source_problems(grafana, uid, source)
    for dashboard in wanted.dashboards():
        number = len(list(wanted.questions(dashboard)))
        yield f"dashboard {dashboard['uid']}, {number} questions", dashboard_problems(grafana, dashboard)
    states = rule_states(grafana)
    for rule in wanted.alert_rules():
        yield f"alert {rule['title']}", rule_problems(grafana, rule, states)


def main() -> int:
    """0 when nothing errs; 1 else, with a line for each finding."""
    found = 0
    try:
        grafana = Grafana(grafana_url(), grafana_password())
        for what, findings in checks(grafana):
            print(what, file=sys.stderr, flush=True)
            for line in findings:
                found += 1
                print(line, flush=True)
    except (NoGrafana, SettingsError) as error:
        print(error, file=sys.stderr)
        return 1
    except Refused as error:
        print(f"Grafana at {grafana.url}: {error}", file=sys.stderr)
        return 1
    print(f"grafana-check failed: {found} findings" if found else f"grafana-check passed: {grafana.url}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
