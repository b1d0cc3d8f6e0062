"""The panels show what a plain count over the hits of the days that the range touches gives."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from grafana.expand import ALL
from tests.conftest import Database
from tests.grafana.rows import BEGIN, BLOG, END, FIRST_DAY, HUMAN, LAST_DAY, SHOP, ZONE, make_hit, store
from tests.grafana.test_panels import FILES, Result, panel_named, run_panel

pytestmark = pytest.mark.servers

SELECTIONS = pytest.mark.parametrize("sites", [[ALL], [BLOG], [SHOP], [BLOG, SHOP]])


def shown(database: Database, uid: str, title: str, sites: list[str] | None = None) -> Result:
    return run_panel(database, FILES[uid], panel_named(uid, title), sites or [ALL])


def figure(database: Database, uid: str, title: str, sites: list[str] | None = None) -> Any:
    (row,) = shown(database, uid, title, sites).rows
    (value,) = row.values()
    return value


def counted(database: Database, expression: str, sites: list[str] | None = None, human: bool = True) -> Any:
    """An aggregate over the hits of the range's days, by the owner."""
    chosen = [] if sites in (None, [ALL]) else sites
    with database.connect() as connection:
        row = connection.execute(
            f"select {expression} from hits where day between %s and %s "
            f"and (cardinality(%s::text[]) = 0 or site = any(%s)) and ({HUMAN if human else 'true'})",
            [FIRST_DAY, LAST_DAY, chosen, chosen],
        ).fetchone()
    assert row
    return row[0]


@SELECTIONS
@pytest.mark.parametrize(("title", "expression"), [
    ("Pageviews", "count(*)"),
    ("Visitors", "count(distinct session_id)"),  # no session outlives its day
    ("Anonymous pageviews", "count(*) - count(session_id)"),
])  # fmt: skip
def test_figures_of_the_overview(filled: Database, sites: list[str], title: str, expression: str) -> None:
    assert figure(filled, "overview", title, sites) == counted(filled, expression, sites)


def test_pageviews_are_the_sum_of_the_reporting_view(filled: Database) -> None:
    with filled.connect("grafana_reader") as connection:
        row = connection.execute(
            "select sum(pageviews) from daily_traffic where day between %s and %s", [FIRST_DAY, LAST_DAY]
        ).fetchone()
    assert row
    assert figure(filled, "overview", "Pageviews") == row[0] > 0


@SELECTIONS
def test_points_over_time_add_up_to_the_figures(filled: Database, sites: list[str]) -> None:
    rows = shown(filled, "overview", "Pageviews and visitors over time", sites).rows
    for name in ("pageviews", "visitors"):
        assert sum(row[name] for row in rows) == figure(filled, "overview", name.capitalize(), sites)


def test_a_point_stands_at_the_beginning_of_each_day_that_the_range_touches(filled: Database) -> None:
    rows = shown(filled, "overview", "Pageviews and visitors over time", [BLOG]).rows
    days = [date.fromisoformat(FIRST_DAY) + timedelta(days=n) for n in range(5)]
    assert [row["time"] for row in rows] == [datetime(d.year, d.month, d.day, tzinfo=ZONE) for d in days]
    assert rows[0]["time"] < BEGIN
    assert rows[-1]["time"] < END
    with filled.connect("grafana_reader") as connection:
        found = connection.execute("select day_starts_at from daily_traffic").fetchall()
    assert {row["time"] for row in rows if row["pageviews"]} <= {at for (at,) in found}


def test_a_day_without_traffic_is_a_zero(filled: Database) -> None:
    rows = shown(filled, "overview", "Pageviews and visitors over time").rows
    assert [row["pageviews"] for row in rows] == [3, 2, 2, 0, 3]


def test_a_range_before_the_first_day_is_not_drawn_as_zeros(filled: Database) -> None:
    rows = shown(filled, "overview", "Pageviews and visitors over time", [SHOP]).rows
    assert [row["pageviews"] for row in rows] == [2]


def test_map_and_list_of_countries_agree(filled: Database) -> None:
    first, *on_map = shown(filled, "overview", "Countries").rows
    listed = {row["name"]: row for row in shown(filled, "overview", "Countries, listed").rows}
    assert set(first.values()) == {None}
    assert {row["name"] for row in on_map} == {"Germany", "France", "Singapore", "United States"}
    assert set(listed) == {row["name"] for row in on_map} | {"Unknown", "XX"}
    for row in on_map:
        assert (row["visitors"], row["pageviews"]) == (
            listed[row["name"]]["visitors"], listed[row["name"]]["pageviews"])  # fmt: skip
    assert sum(row["pageviews"] for row in listed.values()) == figure(filled, "overview", "Pageviews")


def test_a_country_without_a_shape_gets_a_marker(filled: Database) -> None:
    codes = {row["alpha_3"]: row["small_country"] for row in shown(filled, "overview", "Countries").rows}
    assert codes == {None: None, "DEU": None, "FRA": None, "USA": None, "SGP": "SG"}


def test_the_list_of_countries_has_flags(filled: Database) -> None:
    flags = {row["name"]: row["flag"] for row in shown(filled, "overview", "Countries, listed").rows}
    assert (flags["Germany"], flags["Unknown"]) == ("🇩🇪", "🏳")


def test_pages_are_counted_by_the_page(filled: Database) -> None:
    for uid, title in (("overview", "Popular pages"), ("pages", "Pages")):
        rows = shown(filled, uid, title).rows
        assert sum(row["pageviews"] for row in rows) == counted(filled, "count(*)")
        assert len(rows) == counted(filled, "count(distinct (site, host, path))")
        first = rows[0]
        assert (first["path"], first["title"], first["pageviews"]) == ("/notes", "Notes", 4)
    assert figure(filled, "pages", "Pages seen") == len(rows)


def test_a_page_without_a_title_says_so(filled: Database) -> None:
    titles = {row["path"]: row["title"] for row in shown(filled, "overview", "Popular pages").rows}
    assert (titles["/"], titles["/cart"]) == ("Home", "–")


def test_a_link_opens_the_page_though_its_path_is_kept_decoded(filled: Database) -> None:
    links = {row["path"]: row["page_address"] for row in shown(filled, "overview", "Popular pages").rows}
    assert links["/notes"] == f"https://{BLOG}/notes"
    assert links["/cart"] == f"https://www.{SHOP}/cart"
    assert links["/100% sure?#1"] == f"https://{BLOG}/100%25 sure%3F%231"


@pytest.mark.parametrize(("path", "encoded"), [
    ("/a%41b", "/a%41b"), ("/50%", "/50%25"), ("/?x=1", "/%3Fx=1"), ("/#/route", "/#/route"),
    ("/a#b", "/a%23b"), ("/größe", "/größe"),
])  # fmt: skip
def test_how_a_path_is_encoded(database: Database, path: str, encoded: str) -> None:
    with database.connect() as connection:
        store(connection, [make_hit(1, 10, "a", path=path)])
    (row,) = shown(database, "overview", "Popular pages").rows
    assert row["page_address"] == f"https://{BLOG}{encoded}"


def test_sources_name_direct_and_add_up(filled: Database) -> None:
    for uid in ("overview", "sources"):
        rows = shown(filled, uid, "Sources").rows
        assert {(row["source"], row["channel"]) for row in rows} == {
            ("Direct", "Direct"), ("Search", "Search"), ("Hacker News", "News"), ("letter", "Email"),
            ("com.reader", "Referral")}  # fmt: skip
        assert sum(row["pageviews"] for row in rows) == counted(filled, "count(*)")
    channels = shown(filled, "sources", "Channels").rows
    assert sum(row["pageviews"] for row in channels) == counted(filled, "count(*)")
    over_time = shown(filled, "sources", "Channels over time").rows
    assert sum(row["pageviews"] for row in over_time) == counted(filled, "count(*)")


def test_engines_stand_beside_search(filled: Database) -> None:
    rows = shown(filled, "sources", "Engines and services").rows
    assert [(row["source"], row["source_detail"]) for row in rows] == [("Search", "Kagi")]
    assert rows[0]["pageviews"] == counted(filled, "count(*) filter (where source = 'Search')") > 1


def test_referrers_stand_beside_the_pages_they_led_to(filled: Database) -> None:
    rows = shown(filled, "overview", "Referrers and the pages they led to").rows
    assert sum(row["pageviews"] for row in rows) == counted(filled, "count(source)")
    pair = next(row for row in rows if row["source"] == "Hacker News")
    assert pair["referrer"] == "https://news.example/item?id=…"
    assert (pair["path"], pair["title"], pair["pageviews"], pair["visitors"]) == ("/notes", "Notes", 2, 2)


def test_a_referrer_is_a_link_only_where_it_is_a_web_address(filled: Database) -> None:
    rows = shown(filled, "overview", "Referrers and the pages they led to").rows
    links = {row["source"]: (row["referrer"], row["referrer_address"]) for row in rows}
    assert links["Search"] == ("https://search.example/", "https://search.example/")
    assert links["letter"] == ("–", f"https://{BLOG}/notes")
    assert links["com.reader"][1].startswith(f"https://{BLOG}/")
    listed = {row["source"]: row["referrer_address"] for row in shown(filled, "sources", "Referrers").rows}
    assert (listed["letter"], listed["com.reader"]) == ("about:blank", "about:blank")


def test_missing_pages(filled: Database) -> None:
    expected = counted(filled, "count(*) filter (where status in (404, 410))")
    assert figure(filled, "missing", "Pageviews of missing pages") == expected == 2
    assert figure(filled, "missing", "Missing pages") == 2
    rows = shown(filled, "missing", "Missing pages, and what led there").rows
    assert [(row["path"], row["referrer"], row["last_day"]) for row in rows] == [
        ("/gone", "–", "2024-03-12"), ("/lost", "https://search.example/", "2024-03-10")]  # fmt: skip


def test_bots_and_owner(filled: Database) -> None:
    for title, column in (("Hits of bots", "is_bot"), ("The owner's own hits", "is_me")):
        expected = counted(filled, f"count(*) filter (where {column})", human=False)
        assert figure(filled, "bots", title) == expected == 1


def test_the_ledger_closes(filled: Database) -> None:
    figures = {name: figure(filled, "pipeline", name) for name in
               ("Accepted", "Stored", "Duplicate", "Dead-lettered", "Unaccounted for")}  # fmt: skip
    assert figures["Stored"] == counted(filled, "count(*)", human=False)
    assert (figures["Dead-lettered"], figures["Unaccounted for"]) == (2, 0)
    rows = shown(filled, "pipeline", "Ledger").rows
    assert sum(row["accepted"] for row in rows) == figures["Accepted"]
    assert [row["site"] for row in rows if row["dead_lettered"]] == ["–"]


def test_what_waits_is_shown_whatever_the_range(filled: Database) -> None:
    assert figure(filled, "pipeline", "Waiting for the rollups") == 4
    assert 90 <= figure(filled, "pipeline", "Oldest waits") < 3_600


def test_nothing_waits(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("insert into ledger (site, day) values (%s, '2020-01-01')", [BLOG])
    assert figure(database, "pipeline", "Waiting for the rollups") == 0
    assert figure(database, "pipeline", "Oldest waits") == 0


def test_what_was_left_out(filled: Database) -> None:
    rows = shown(filled, "pipeline", "Left out").rows
    assert [(row["reason"], row["site"], row["requests"]) for row in rows] == [
        ("local-host", "–", 7), ("rate-limit", BLOG, 3)]  # fmt: skip
