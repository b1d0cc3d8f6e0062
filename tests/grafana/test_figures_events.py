"""``events`` shows what a plain count over the hits gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Database, cloned
from tests.grafana.rows import BLOG, SHOP, make_hit, set_zone, store
from tests.grafana.test_figures import counted, figure, shown
from tools.servers import Postgres

pytestmark = pytest.mark.servers

EVENT = "event <> 'pageview' and not is_bot and not is_me"
NAMES = [f"event {n:02}" for n in range(1, 11)]
PLANS = ["small", "large", "small"]
# The first has ten events of three people on two days, the last one; on the shop's site too, and of no session.
HITS: list[tuple[int, str | None, dict[str, Any]]] = [
    *[(8, who, {}) for who in "abcde"],
    *[
        (8 + n % 2, "abc"[n % 3], {"event": name, "props": json.dumps({"plan": PLANS[n % 3], "n": n})})
        for place, name in enumerate(NAMES)
        for n in range(10 - place)
    ],
    (9, None, {"event": NAMES[0]}),
    (9, "f", {"site": SHOP, "host": SHOP, "event": NAMES[1]}),
    (9, "robot", {"event": "of bots", "is_bot": True}),
    (9, "owner", {"event": "of the owner", "is_me": True}),
]


@pytest.fixture(scope="module")
def events(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """The hits of ``HITS``."""
    with cloned(postgres, template_database) as database:
        with database.connect() as connection:
            set_zone(connection)
            hits = [make_hit(n, day, who, **differing) for n, (day, who, differing) in enumerate(HITS)]
            store(connection, hits)
        yield database


def of_events(database: Database, expression: str, sites: list[str] | None = None) -> Any:
    return counted(database, f"{expression} filter (where {EVENT})", sites, human=False)


def test_the_figures(events: Database, filled: Database) -> None:
    for database in (events, filled):
        visitors = counted(database, "count(distinct session_id)")
        every = of_events(database, "count(*)")
        assert figure(database, "events", "Events") == every > 0
        assert figure(database, "events", "Names of events") == of_events(database, "count(distinct event)")
        per_100 = figure(database, "events", "Events per 100 visitors")
        assert float(per_100) == round(100 * every / visitors, 1)
    assert figure(filled, "events", "Events", [SHOP]) == 0


@pytest.mark.parametrize("sites", [["$__all"], [BLOG]])
def test_each_event_has_its_sessions_and_the_share_of_visitors(events: Database, sites: list[str]) -> None:
    rows = shown(events, "events", "Events by name", sites).rows
    visitors = counted(events, "count(distinct session_id)", sites)
    assert [row["event"] for row in rows] == NAMES
    for row in rows:
        of = f"filter (where event = '{row['event']}')"
        sessions = counted(events, f"count(distinct session_id) {of}", sites, human=False)
        assert row["events"] == counted(events, f"count(*) {of}", sites, human=False)
        assert row["sessions"] == sessions
        assert float(row["conversion"]) == round(100 * sessions / visitors, 1)


def test_events_where_nobody_was_counted_convert_nobody(events: Database) -> None:
    (row,) = shown(events, "events", "Events by name", [SHOP]).rows
    assert (row["events"], row["conversion"]) == (1, 0)
    assert shown(events, "events", "Events per 100 visitors", [SHOP]).rows == []


def test_the_curve_has_the_first_eight_and_all_others(events: Database) -> None:
    rows = shown(events, "events", "Events over time").rows
    assert list(dict.fromkeys(row["metric"] for row in rows)) == [*NAMES[:8], "+ 2 others"]
    assert sum(row["events"] for row in rows) == of_events(events, "count(*)")


def test_properties_by_their_values(events: Database) -> None:
    rows = shown(events, "events", "Properties of events").rows
    plans = {(row["event"], row["value"]): row for row in rows if row["property"] == "plan"}
    for (event, plan), row in plans.items():
        of = f"filter (where event = '{event}' and props ->> 'plan' = '{plan}')"
        assert row["events"] == counted(events, f"count(*) {of}", human=False)
        assert row["sessions"] == counted(events, f"count(distinct session_id) {of}", human=False)
    assert plans[(NAMES[0], "small")]["events"] == 7
