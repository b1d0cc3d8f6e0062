"""The panels of *realtime* show what a plain count over the hits of the last 30 minutes gives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from grafana.expand import expand
from grafana.variables import ALL
from tests.conftest import Database, cloned
from tests.grafana.dashboards import panels_with_data
from tests.grafana.rows import BEGIN, BLOG, END, SHOP, ZONE, fill_now, make_hit_at, set_zone, store
from tests.grafana.test_panels import FILES, chosen, panel_named, run
from tools.servers import Postgres

pytestmark = pytest.mark.servers

TRAFFIC = {"people": "not is_bot", "bots": "is_bot", "all": "true"}
EVERY = pytest.mark.parametrize("traffic", TRAFFIC)


@pytest.fixture(scope="module")
def live(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """A database with hits of now, that the tests of this file share."""
    with cloned(postgres, template_database) as database:
        with database.connect() as connection:
            set_zone(connection)
            fill_now(connection)
        yield database


def shown(
    database: Database, title: str, traffic: str = "people", sites: tuple[str, ...] = (ALL,)
) -> list[dict[str, Any]]:
    panel = panel_named("realtime", title)
    variables = chosen(FILES["realtime"], sites, traffic=[traffic])
    return run(database, panel["datasource"], panel["targets"][0]["rawSql"], variables).rows


def counted(
    database: Database, expression: str, traffic: str, minutes: int = 30, of: str = "pageview"
) -> Any:
    with database.connect() as connection:
        row = connection.execute(
            f"select {expression} from hits where received_at > now() - %s * interval '1 minute'"
            f" and (event = 'pageview') = %s and not is_me and {TRAFFIC[traffic]}",
            [minutes, of == "pageview"],
        ).fetchone()
    assert row
    return row[0]


@EVERY
def test_people_now_and_whom_nobody_can_tell(live: Database, traffic: str) -> None:
    (row,) = shown(live, "People now", traffic)
    assert row["people"] == counted(live, "count(distinct session_id)", traffic, 5) > 0
    anonymous = counted(live, "count(*) - count(session_id)", traffic, 5)
    assert row["change"] == ("+ 1 pageview without a session" if anonymous else "all with a session")


@EVERY
def test_pageviews_of_the_last_30_minutes(live: Database, traffic: str) -> None:
    (row,) = shown(live, "Pageviews in the last 30 minutes", traffic)
    assert row["pageviews"] == counted(live, "count(*)", traffic) > 0
    visitors = counted(live, "count(distinct session_id)", traffic)
    assert row["change"] == f"by {visitors} visitor{'s' if visitors > 1 else ''}"


@EVERY
@pytest.mark.parametrize("title", ["What they read", "From where", "Countries", "Devices"])
def test_every_list_adds_up(live: Database, traffic: str, title: str) -> None:
    rows = shown(live, title, traffic)
    assert sum(row["pageviews"] for row in rows) == counted(live, "count(*)", traffic) > 0


def test_what_they_read(live: Database) -> None:
    notes, home, cart = shown(live, "What they read")
    assert (notes["path"], notes["title"], notes["pageviews"], notes["visitors"]) == ("/notes", "Notes", 3, 2)
    assert (home["path"], home["title"], home["page_address"]) == ("/", "Home", f"https://{BLOG}/")
    assert (cart["host"], cart["title"]) == (SHOP, "–")
    for row in (home, notes):
        assert re.fullmatch(r"[2-5]\d s|[1-4] min", row["ago"])
    assert re.fullmatch(r"1[2-7] min", cart["ago"])


def test_from_where_and_which_countries(live: Database) -> None:
    sources = {row["source"]: (row["channel"], row["pageviews"]) for row in shown(live, "From where")}
    assert sources == {"Hacker News": ("News", 2), "Direct": ("Direct", 2), "Search": ("Search", 1)}
    first = shown(live, "Countries")[0]
    assert (first["flag"], first["name"], first["pageviews"], first["visitors"]) == ("🇩🇪", "Germany", 2, 1)


def test_events_are_no_pageviews(live: Database) -> None:
    (row,) = shown(live, "Events")
    assert (row["event"], row["events"], row["sessions"]) == ("signup", 1, 1)
    assert counted(live, "count(*)", "people", of="event") == 1
    assert shown(live, "Events", "bots") == []


def test_each_site_for_itself(live: Database) -> None:
    assert [row["path"] for row in shown(live, "What they read", sites=(SHOP,))] == ["/cart"]
    (row,) = shown(live, "People now", sites=(SHOP,))
    assert row["people"] == 0, "a quiet site has nobody, and that is no lack of data"


def test_a_bar_for_each_of_30_minutes(database: Database) -> None:
    now = datetime.now(ZONE)
    planted = [now.replace(second=30) - timedelta(minutes=ago) for ago in range(1, 45)]
    with database.connect() as connection:
        set_zone(connection)
        store(connection, [make_hit_at(n, at, str(n // 2 * 2)) for n, at in enumerate(planted)])
    rows = shown(database, "By minute")
    assert [row["time"] - rows[0]["time"] for row in rows] == [timedelta(minutes=n) for n in range(30)]
    assert rows[0]["time"].second == 0
    assert now.replace(second=0, microsecond=0) <= rows[-1]["time"] <= datetime.now(ZONE)
    minutes = Counter(at.replace(second=0, microsecond=0) for at in planted)
    for row in rows[:-1]:
        assert (row["pageviews"], row["visitors"]) == (minutes[row["time"]],) * 2, row
        assert row["pageviews_open"] is row["visitors_open"] is None
    assert rows[-1]["pageviews"] is None, "the minute that is not over is drawn as such"
    assert rows[-1]["pageviews_open"] == minutes[rows[-1]["time"]]


def test_a_hit_from_a_clock_that_is_ahead_counts_now(database: Database) -> None:
    with database.connect() as connection:
        set_zone(connection)
        store(connection, [make_hit_at(1, datetime.now(ZONE) + timedelta(seconds=40), "a")])
    assert shown(database, "By minute")[-1]["pageviews_open"] == 1
    assert shown(database, "Last hit, ago") == [{"seconds": 0, "change": f"on {BLOG}", "colour": "text"}]


def test_the_last_hit_of_each_traffic(live: Database) -> None:
    people, bots = (shown(live, "Last hit, ago", traffic)[0]["seconds"] for traffic in ("people", "bots"))
    assert 20 <= people < bots < 300
    assert shown(live, "Last hit, ago", "all")[0]["seconds"] < bots


def test_a_site_that_has_been_quiet_for_days(database: Database) -> None:
    with database.connect() as connection:
        set_zone(connection)
        store(connection, [make_hit_at(1, datetime.now(ZONE) - timedelta(days=3), "a")])
    (row,) = shown(database, "Last hit, ago")
    assert 3 * 86_400 <= row["seconds"] < 3 * 86_400 + 300
    assert [row["people"] for row in shown(database, "People now")] == [0]
    assert {row["pageviews"] for row in shown(database, "By minute")} == {0, None}
    assert shown(database, "What they read") == []


def test_both_days_are_read_right_after_midnight(database: Database) -> None:
    """The reporting zone is one where it is 10 minutes past midnight."""
    now = datetime.now(UTC)
    west = (now.hour * 60 + now.minute - 10 + 720) % 1440 - 720
    local = now.astimezone(timezone(timedelta(minutes=-west)))
    assert (local.hour, local.minute) == (0, 10)
    name = f"<X>{'-' if west < 0 else '+'}{abs(west) // 60:02}:{abs(west) % 60:02}"
    with database.connect() as connection:
        connection.execute("update installation set report_timezone = %s", [name])
        fill_now(connection, local)
        days = connection.execute("select count(distinct day) from hits where not is_bot").fetchone()
    assert days == (2,)
    assert sum(row["pageviews"] for row in shown(database, "What they read")) == counted(
        database, "count(*)", "people"
    )
    assert shown(database, "People now")[0]["people"] == 2
    assert 20 <= shown(database, "Last hit, ago")[0]["seconds"] < 300


def test_no_panel_reads_the_whole_day(live: Database) -> None:
    """Of a large day: this one is small, so the planner is told what it would choose there."""
    for panel in panels_with_data(FILES["realtime"]):
        sql = expand(panel["targets"][0]["rawSql"], chosen(FILES["realtime"]), BEGIN, END)
        with live.connect("grafana_explorer") as connection:
            connection.execute("set enable_seqscan = off")
            plan = "\n".join(line for (line,) in connection.execute("explain " + sql))
        today = f"d{datetime.now(ZONE):%Y%m%d}_received"
        assert f"Bitmap Index Scan on {today}" in plan, panel["title"]


def test_a_closed_day_has_no_such_index(database: Database) -> None:
    found = "select count(*) from pg_indexes where schemaname = 'hits_days' and indexdef like %s"
    with database.connect() as connection:
        (before,), (open_days,) = (
            connection.execute(found, [like]).fetchone() or (0,)
            for like in ("%brin (received_at)%", "%_identity%")
        )
        assert before == open_days > 0
        connection.execute("select close_hits_day(current_date)")
        assert connection.execute(found, ["%brin (received_at)%"]).fetchone() == (before - 1,)
