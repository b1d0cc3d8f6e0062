"""``audience`` shows what a plain count over the hits gives."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Database, cloned
from tests.grafana.rows import ZONE, make_hit_at, set_zone, store
from tests.grafana.test_figures import SELECTIONS, counted, figure, shown
from tools.servers import Postgres

pytestmark = pytest.mark.servers

HOURS = "When people come: hours of the week"
# Panel, its first column, and that of the hits.
LISTS = [
    ("Browsers", "browser"),
    ("Operating systems", "os"),
    ("Devices", "device"),
    ("Languages", "language"),
    ("Screens", "screen"),
]
NOON = datetime(2024, 3, 10, 12, tzinfo=ZONE)
# 15 browsers, of which the first has 15 visitors and the last one; and a language more than is shown.
MANY: list[dict[str, Any]] = [
    {"browser": f"Browser {n:02}", "language": f"l{n:02}", "os": None, "device": None, "screen": None}
    for n in range(1, 16)
    for _ in range(16 - n)
]


@pytest.fixture(scope="module")
def crowded(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """More browsers than are shown, at noon of a day; what else is known of a client is not."""
    with cloned(postgres, template_database) as database:
        with database.connect() as connection:
            set_zone(connection)
            hits = [make_hit_at(n, NOON, str(n), **differing) for n, differing in enumerate(MANY)]
            store(connection, hits)
        yield database


@SELECTIONS
@pytest.mark.parametrize(("title", "column"), LISTS)
def test_a_list_has_the_visitors_and_pageviews_of_each(
    filled: Database, sites: list[str], title: str, column: str
) -> None:
    rows = shown(filled, "audience", title, sites).rows
    for row in rows:
        of = f"filter (where coalesce({column}, 'Unknown') = '{row[column]}')"
        assert row["visitors"] == counted(filled, f"count(distinct session_id) {of}", sites)
        assert row["pageviews"] == counted(filled, f"count(*) {of}", sites)
    assert sum(row["pageviews"] for row in rows) == counted(filled, "count(*)", sites)
    assert sum(row["share"] for row in rows) == 100


def test_the_tail_is_gathered_in_one_row(crowded: Database) -> None:
    rows = shown(crowded, "audience", "Browsers").rows
    assert [row["browser"] for row in rows] == [f"Browser {n:02}" for n in range(1, 13)] + ["+ 3 others"]
    assert [row["visitors"] for row in rows] == [*range(15, 3, -1), 3 + 2 + 1]
    assert 99.5 < sum(row["share"] for row in rows) < 100.5, "each is rounded to a tenth"
    assert len(shown(crowded, "audience", "Languages").rows) == 15


@pytest.mark.parametrize(("title", "column"), LISTS[1:3] + LISTS[4:])
def test_what_the_browser_did_not_say_is_unknown(crowded: Database, title: str, column: str) -> None:
    (row,) = shown(crowded, "audience", title).rows
    assert (row[column], row["visitors"], row["share"]) == ("Unknown", len(MANY), 100)


@SELECTIONS
def test_every_country_is_listed_once(filled: Database, sites: list[str]) -> None:
    rows = shown(filled, "audience", "All countries", sites).rows
    for row in rows:
        of = f"filter (where coalesce(country, 'XX') = '{row['country']}')"
        assert row["visitors"] == counted(filled, f"count(distinct session_id) {of}", sites)
        assert row["pageviews"] == counted(filled, f"count(*) {of}", sites)
    assert len({row["name"] for row in rows}) == len(rows)
    assert sum(row["pageviews"] for row in rows) == counted(filled, "count(*)", sites)
    names = {row["country"]: (row["flag"], row["name"]) for row in rows}
    assert names.get("XX", ("🏳", "Unknown")) == ("🏳", "Unknown")
    known = counted(filled, "count(distinct country) filter (where country <> 'XX')", sites)
    assert figure(filled, "audience", "Countries seen", sites) == known


@SELECTIONS
def test_sessions(filled: Database, sites: list[str]) -> None:
    sessions = counted(filled, "count(distinct session_id)", sites)
    pageviews = counted(filled, "count(session_id)", sites)
    assert figure(filled, "audience", "Visitors", sites) == sessions
    pages_a_session = float(figure(filled, "audience", "Pages a session", sites))
    assert pages_a_session == pytest.approx(pageviews / sessions, abs=0.00501)
    # On the 8th "a" of the blog sees two pages; every other session has one.
    single = sessions - (pageviews - sessions)
    assert float(figure(filled, "audience", "Single-page sessions", sites)) == round(
        100 * single / sessions, 1
    )


def test_an_hour_is_an_average_over_the_weekdays_of_the_range(filled: Database, database: Database) -> None:
    # The 8th is a Friday; hits stand at noon, so that one cell of each day with hits is not 0.
    cells = {
        (row["weekday"], name): value
        for row in shown(filled, "audience", HOURS).rows
        for name, value in row.items()
        if name != "weekday" and value
    }
    assert cells == {
        ("Friday", "hour_12"): 2, ("Saturday", "hour_12"): 1, ("Sunday", "hour_12"): 2, ("Tuesday", "hour_12"): 3,
    }  # fmt: skip
    with database.connect() as connection:
        set_zone(connection)
        # Three visitors on one Sunday, none on the next, in an hour that the clocks have moved.
        store(connection, [make_hit_at(n, NOON, str(n)) for n in range(3)])
    (row,) = [
        row
        for row in shown(database, "audience", HOURS, begin=NOON, end=NOON + timedelta(days=7)).rows
        if row["weekday"] == "Sunday"
    ]
    assert (row["hour_12"], row["hour_11"], row["hour_13"]) == (1.5, 0, 0)


def test_hours_that_are_still_to_come_do_not_count(database: Database) -> None:
    now = datetime.now(ZONE)
    with database.connect() as connection:
        set_zone(connection)
        store(connection, [make_hit_at(n, now - timedelta(days=7 * n), str(n)) for n in range(2)])
    rows = shown(
        database, "audience", HOURS, begin=now - timedelta(days=7), end=now + timedelta(days=30)
    ).rows
    (today,) = [row for row in rows if row["weekday"] == f"{now:%A}"]
    assert today[f"hour_{now.hour:02}"] == 1, "two visitors on two such days, and none of a month to come"
