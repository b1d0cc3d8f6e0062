"""Each alert rule's SQL runs as its role, gives what Grafana takes, and that is above its limit when it should be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import yaml  # type: ignore[import-untyped]

from tests.conftest import Database, cloned
from tests.grafana.dashboards import PROVISIONING, Json, load_dashboards, role_of
from tools.servers import Postgres

TEXT = (PROVISIONING / "alerting" / "footfall.yml").read_text("utf-8")
(GROUP,) = yaml.safe_load(TEXT)["groups"]
# PostgreSQL's types, as Grafana takes them: texts become labels, of numbers there is one.
TEXTS, NUMBERS = {25}, {20, 23, 701, 1700}
RULES: dict[str, Json] = {rule["uid"]: rule for rule in GROUP["rules"]}
LETTER = (
    "insert into dead_letters (site, day, entry_id, reason, hits, size_bytes, buried_at)"
    " values ('blog.example', current_date, '1-0', '{reason}', 2, 100, now() - interval '{age}')"
)
LEDGER = (
    "insert into ledger (site, day, accepted, stored, duplicate, dead_lettered)"
    " values ('blog.example', current_date, {numbers})"
)
GROUPS = (
    "insert into stream_groups (site, pixel_id, seq, hits, hits_before, processed_at)"
    " select 'blog.example', '00000000-0000-0000-0000-000000000001', seq, 2, (seq - 1) * 2, now() - interval '{age}'"
    " from unnest(array[{numbers}]) as seq"
)
STOP = (
    "insert into enricher_stops (consumer, tried_at, letters, hits, reasons)"
    " values ('one', now() - interval '{age}', 30, 30, 'url')"
)
LOOK = "insert into stream_look (looked_at, entries, entries_read) values (now() - interval '{age}', 0, 0)"
WAITING = (
    "insert into rollup_pending (site, day, batch_id, hits, stored_at)"
    " values ('blog.example', current_date, 1, 4, now() - interval '{age}')"
)
OLDEST = "update stream_look set oldest_at = now() - interval '10 min'"
RAN = (
    "insert into pixel_runs (pixel_id, stretch, began_at, last_at)"
    " values ('00000000-0000-0000-0000-000000000001', 1, now() - interval '1 day', now() - interval '{last}')"
)
# Rule, what is done, what it then says.
CASES: list[tuple[str, list[str], int]] = [
    ("footfall-ledger", [LEDGER.format(numbers="5, 3, 2, 0")], 0),
    ("footfall-ledger", [LEDGER.format(numbers="5, 3, 1, 0")], 1),
    ("footfall-ledger", [LEDGER.format(numbers="5, 6, -1, 0")], 1),
    ("footfall-ledger", [LEDGER.format(numbers="2, 0, 0, 2")], 1),
    ("footfall-ledger", [LEDGER.format(numbers="2, 0, 0, 2"), LETTER.format(reason="url", age="2 h")], 0),
    ("footfall-lost", [GROUPS.format(age="10 min", numbers="1, 2, 3")], 0),
    ("footfall-lost", [GROUPS.format(age="10 min", numbers="1, 4, 5")], 4),
    ("footfall-lost", [GROUPS.format(age="10 min", numbers="3, 4")], 4),
    ("footfall-lost", [GROUPS.format(age="1 min", numbers="1, 4")], 0),
    ("footfall-lost", [GROUPS.format(age="2 days", numbers="1, 4")], 0),
    ("footfall-stopped", [STOP.format(age="10 s")], 1),
    ("footfall-stopped", [STOP.format(age="1 h")], 0),
    ("footfall-dead-letters", [LETTER.format(reason="url", age="5 min")], 1),
    ("footfall-dead-letters", [LETTER.format(reason="url", age="2 h")], 0),
    ("footfall-dead-letters", [LETTER.format(reason="too-late", age="5 min")], 0),
    ("footfall-silent", [LOOK.format(age="5 s")], 0),
    ("footfall-silent", [LOOK.format(age="5 min")], 1),
    ("footfall-backlog", [LOOK.format(age="5 s"), OLDEST], 600),
    ("footfall-backlog", [LOOK.format(age="5 min"), OLDEST], 0),
    ("footfall-backlog", [LOOK.format(age="5 s")], 0),
    ("footfall-gap", [LOOK.format(age="5 s"), RAN.format(last="10 min")], 595),
    ("footfall-gap", [LOOK.format(age="5 s"), RAN.format(last="60 s")], 0),
    ("footfall-gap", [LOOK.format(age="9 min"), RAN.format(last="10 min")], 0),
    ("footfall-rollup-lag", [WAITING.format(age="90 s")], 90),
]


@pytest.fixture(scope="module")
def shared(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """An empty database that the cases share: each takes back what it did."""
    with cloned(postgres, template_database) as database:
        yield database


def steps(rule: Json) -> tuple[list[Json], Json]:
    """The queries, and the threshold that decides."""
    *queries, threshold = rule["data"]
    return queries, threshold


def asked(connection: psycopg.Connection[Any], rule: Json) -> Any:
    """What Grafana would compare with the threshold."""
    cursor = connection.execute(steps(rule)[0][0]["model"]["rawSql"])
    [(number,)] = cursor.fetchall()
    return number


@pytest.mark.parametrize("uid", RULES)
def test_a_rule_is_of_a_form_that_9_4_and_the_newest_take(uid: str) -> None:
    rule = RULES[uid]
    queries, threshold = steps(rule)
    assert len(uid) <= 40
    assert rule["noDataState"] == "OK"
    assert rule["for"][-1] in {"s", "m"}
    assert rule["condition"] == threshold["refId"]
    assert threshold["model"]["expression"] == queries[0]["refId"]
    assert [condition["evaluator"]["type"] for condition in threshold["model"]["conditions"]] == ["gt"]
    assert all({"from", "to"} == set(part["relativeTimeRange"]) for part in rule["data"])
    assert all(part["refId"] == part["model"]["refId"] for part in rule["data"])


@pytest.mark.parametrize("uid", RULES)
def test_a_rule_leads_to_a_dashboard_of_the_site(uid: str) -> None:
    link = RULES[uid]["annotations"]["dashboard"].removeprefix("{{ externalURL }}d/")
    dashboard, _, site = link.partition("?")
    assert dashboard in load_dashboards()
    of_a_site = "Labels.site" in RULES[uid]["annotations"]["summary"]
    assert site == ("var-site={{ urlquery .Labels.site }}" if of_a_site else "")


def test_no_dollar_sign_which_grafana_would_take_for_a_variable() -> None:
    assert "$" not in TEXT


@pytest.mark.servers
@pytest.mark.parametrize("uid", RULES)
def test_the_words_name_what_the_queries_give(shared: Database, uid: str) -> None:
    queries, _ = steps(RULES[uid])
    with shared.connect(role_of({"uid": queries[0]["datasourceUid"]})) as connection:
        for query in queries:
            columns = connection.execute(query["model"]["rawSql"]).description
            assert columns
            texts = [column.name for column in columns if column.type_code in TEXTS]
            numbers = [column.name for column in columns if column.type_code in NUMBERS]
            assert (numbers, len(columns)) == ([query["refId"]], len(texts) + 1)
            assert {*re.findall(r"Labels\.(\w+)", RULES[uid]["annotations"]["summary"])} <= {*texts}
    figures = {query["refId"] for query in queries}
    assert {*re.findall(r"Values\.(\w+)", RULES[uid]["annotations"]["summary"])} <= figures


@pytest.mark.servers
@pytest.mark.parametrize("uid", RULES)
def test_no_rule_fires_on_an_empty_database(shared: Database, uid: str) -> None:
    queries, threshold = steps(RULES[uid])
    with shared.connect(role_of({"uid": queries[0]["datasourceUid"]})) as connection:
        rows = connection.execute(queries[0]["model"]["rawSql"]).fetchall()
    assert rows in ([], [(0,)])
    assert threshold["model"]["conditions"][0]["evaluator"]["params"][0] >= 0


@pytest.mark.servers
@pytest.mark.parametrize(("uid", "statements", "number"), CASES)
def test_a_rule_fires_when_it_should(shared: Database, uid: str, statements: list[str], number: int) -> None:
    with shared.connect() as owner, owner.transaction(force_rollback=True):
        for statement in statements:
            owner.execute(statement)
        owner.execute("set local role grafana_reader")
        assert asked(owner, RULES[uid]) == number
