"""The panels show what a plain count over the hits of the days that the range touches gives."""

from __future__ import annotations

import re
from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from grafana.variables import ALL
from tests.conftest import Database
from tests.grafana.rows import (
    BEGIN,
    BLOG,
    END,
    FIRST_DAY,
    HUMAN,
    LAST_DAY,
    SHOP,
    ZONE,
    make_hit,
    make_hit_at,
    set_zone,
    store,
)
from tests.grafana.test_panels import FILES, Result, panel_named, run_panel

pytestmark = pytest.mark.servers

# What no site of the tests has: more pairs of referrer and page than can be shown. Half of them have one day.
PAIRS = """
    with s as (
        insert into sites (site, used_on) values ('blog.example', '2024-03-12') returning site_id
    ), p as (
        insert into pages (site_id, host, path, used_on)
        select site_id, 'blog.example', '/' || n, '2024-03-12' from s cross join generate_series(1, 60) as n
        returning site_id, page_id
    ), r as (
        insert into referrers (source, referrer, used_on)
        select 'Reader', 'https://reader.example/' || n, '2024-03-12' from generate_series(1, 50) as n
        returning referrer_id
    ), t as (
        insert into rollup_traffic
        select date '2024-03-07' + day, site_id, 9000, 9000, 0, 0, 0 from s cross join generate_series(1, 5) as day
    )
    insert into rollup_referrals (day, site_id, referrer_id, page_id, pageviews, visitors)
    select date '2024-03-07' + day, site_id, referrer_id, page_id, pageviews, pageviews - (page_id + day) %% 2
    from p cross join r cross join generate_series(1, 5) as day
    cross join lateral (
        select 1 + (referrer_id + page_id / 2) %% 2
               + case when (referrer_id + day) %% 4 > 0 then %(often)s / (referrer_id * page_id) else 0 end
               as pageviews
    ) as cell
    where day = 1 or page_id %% 2 = 0"""
FIRST_PAIRS = """
    select r.referrer, p.path, sum(pageviews), sum(visitors)
    from rollup_referrals join referrers r using (referrer_id) join pages p using (page_id)
    where day between '2024-03-08' and '2024-03-12'
    group by referrer_id, page_id, r.referrer, p.path
    order by 3 desc, 4 desc, referrer_id, page_id
    limit 100"""
# Whether the hundredth of the pairs that have days of 3 pageviews has more than a pair without can have.
DECIDES = """
    select coalesce(bool_or(pageviews > 2 * 5), false)
    from (
        select sum(pageviews) as pageviews from rollup_referrals where pageviews >= 3
        group by referrer_id, page_id order by 1 desc offset 99 limit 1
    ) as hundredth"""

SELECTIONS = pytest.mark.parametrize("sites", [[ALL], [BLOG], [SHOP], [BLOG, SHOP]])


OVER_TIME = "Pageviews and visitors over time"
HOURS = "By hour: the last two days of the range"


def shown(
    database: Database,
    uid: str,
    title: str,
    sites: list[str] | None = None,
    begin: datetime = BEGIN,
    end: datetime = END,
) -> Result:
    return run_panel(database, FILES[uid], panel_named(uid, title), sites or [ALL], begin, end)


def figure(database: Database, uid: str, title: str, sites: list[str] | None = None) -> Any:
    """The first value of the only row; what it is compared with may stand behind it."""
    (row,) = shown(database, uid, title, sites).rows
    return next(iter(row.values()))


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


def change(database: Database, title: str, begin: datetime = BEGIN, end: datetime = END, **more: Any) -> str:
    (row,) = shown(database, "overview", title, begin=begin, end=end, **more).rows
    return str(row["change"])


@pytest.mark.parametrize("title", ["Pageviews", "Visitors"])
def test_the_period_before_is_the_days_right_before_the_range(filled: Database, title: str) -> None:
    # Five days before the 8th; only the 7th has hits, and only of one site.
    now = figure(filled, "overview", title)
    assert change(filled, title) == f"▲ {(now - 1) * 100:,} % · +{now - 1}"
    assert change(filled, title, sites=[SHOP]) == "nothing before"
    later = timedelta(days=5)
    assert (
        change(filled, title, BEGIN + later, END + later) == f"▼ {(now - 1) * 100 / now:.0f} % · −{now - 1}"
    )


def test_nothing_was_counted_before_the_first_day(database: Database) -> None:
    with database.connect() as connection:
        set_zone(connection)
        store(connection, [make_hit(1, 8, "a")])
    assert figure(database, "overview", "Pageviews") == 1
    assert change(database, "Pageviews") == "nothing before"


@pytest.mark.parametrize(("counted", "before", "is_open", "words"), [
    (12, 10, False, "▲ 20 % · +2"), (10, 12, False, "▼ 17 % · −2"), (1003, 1000, False, "▲ 0.3 % · +3"),
    (7, 7, False, "= as before"), (7, 0, False, "▲ +7 from 0"), (0, 7, False, "▼ 100 % · −7"),
    (0, 0, False, "= as before"), (7, None, False, "nothing before"), (7, 5000, True, "5,000 the day before"),
    (2_500_000, 1, False, "▲ 249,999,900 % · +2,499,999"),
])  # fmt: skip
def test_a_change_in_words(
    filled: Database, counted: int, before: int | None, is_open: bool, words: str
) -> None:
    with filled.connect("grafana_reader") as connection:
        row = connection.execute("select change_in_words(%s, %s, %s)", [counted, before, is_open]).fetchone()
    assert row == (words,)


def test_a_day_that_is_not_over_is_not_compared(database: Database) -> None:
    now = datetime.now(ZONE)
    views = {3: 2, 2: 1, 1: 4, 0: 9}  # today's by how many days ago
    with database.connect() as connection:
        set_zone(connection)
        hits = [
            make_hit_at(100 * ago + n, now - timedelta(days=ago), str(n))
            for ago, count in views.items()
            for n in range(count)
        ]
        store(connection, hits)
    day = timedelta(days=1)
    assert change(database, "Pageviews", now - day, now) == "▲ 300 % · +3 · without today"
    assert change(database, "Pageviews", now - 2 * day, now) == "▲ 150 % · +3 · without today"
    assert change(database, "Pageviews", now, now) == "4 the day before"
    assert change(database, "Pageviews", now - day, now - day) == "▲ 300 % · +3"


@SELECTIONS
def test_hours_are_those_of_the_last_two_days(filled: Database, sites: list[str]) -> None:
    rows = shown(filled, "overview", HOURS, sites).rows
    first = 12 if sites == [SHOP] else 11
    assert rows[0]["time"] == datetime(2024, 3, first, tzinfo=ZONE)
    assert rows[-1]["time"] == datetime(2024, 3, 12, 23, tzinfo=ZONE)
    assert len(rows) == 24 * (13 - first)
    noon = {row["time"].astimezone(ZONE).hour: row for row in rows if row["time"].astimezone(ZONE).day == 12}[
        12
    ]
    today = next(row for row in shown(filled, "overview", OVER_TIME, sites).rows[::-1])
    assert (noon["pageviews"], noon["visitors"]) == (today["pageviews"], today["visitors"])
    assert sum(row["pageviews"] for row in rows) == today["pageviews"] > 0


def test_hours_that_are_still_to_come_are_not_drawn(filled: Database) -> None:
    before = datetime.now(ZONE)
    rows = shown(filled, "overview", HOURS, end=before + timedelta(days=3)).rows
    assert before - timedelta(hours=1) < rows[-1]["time"] <= datetime.now(ZONE)
    assert rows[0]["time"].astimezone(ZONE).hour == 0
    assert {row["pageviews"] for row in rows} == {0}


def test_the_hours_of_a_day_whose_clocks_go_forward(filled: Database) -> None:
    end = datetime(2024, 3, 10, 8, tzinfo=ZONE)
    rows = shown(filled, "overview", HOURS, end=end).rows
    assert len(rows) == 24 + 23
    assert {row["time"].minute for row in rows} == {0}
    assert sum(row["pageviews"] for row in rows) == 4


@SELECTIONS
def test_points_over_time_add_up_to_the_figures(filled: Database, sites: list[str]) -> None:
    rows = shown(filled, "overview", OVER_TIME, sites).rows
    for name in ("pageviews", "visitors"):
        assert sum(row[name] for row in rows) == figure(filled, "overview", name.capitalize(), sites)


def test_a_point_stands_at_the_beginning_of_each_day_that_the_range_touches(filled: Database) -> None:
    rows = shown(filled, "overview", OVER_TIME, [BLOG]).rows
    days = [date.fromisoformat(FIRST_DAY) + timedelta(days=n) for n in range(5)]
    assert [row["time"] for row in rows] == [datetime(d.year, d.month, d.day, tzinfo=ZONE) for d in days]
    assert rows[0]["time"] < BEGIN
    assert rows[-1]["time"] < END
    with filled.connect("grafana_reader") as connection:
        found = connection.execute("select day_starts_at from daily_traffic").fetchall()
    assert {row["time"] for row in rows if row["pageviews"]} <= {at for (at,) in found}


def test_a_day_without_traffic_is_a_zero(filled: Database) -> None:
    rows = shown(filled, "overview", OVER_TIME).rows
    assert [row["pageviews"] for row in rows] == [3, 2, 2, 0, 3]


def test_a_range_before_the_first_day_is_not_drawn_as_zeros(filled: Database) -> None:
    rows = shown(filled, "overview", OVER_TIME, [SHOP]).rows
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


@SELECTIONS
def test_channels_and_referrers_have_visitors_of_their_own(filled: Database, sites: list[str]) -> None:
    for title, key in (("Channels", "channel"), ("Referrers", "source")):
        for row in shown(filled, "sources", title, sites).rows:
            of = f"where {key} = '{row[key]}'"
            counts = (
                counted(filled, f"count(*) filter ({of})", sites),
                counted(filled, f"count(distinct session_id) filter ({of})", sites),
            )
            assert (row["pageviews"], row["visitors"]) == counts, row


@pytest.mark.parametrize("often", [0, 60, 150], ids=["none often", "too few often", "a hundred often"])
def test_the_first_pairs_of_many(database: Database, often: int) -> None:
    """3,000 pairs, on a day 1 or 2 pageviews each, and more the lower the pair's numbers, up to ``often``."""
    with database.connect() as connection:
        set_zone(connection)
        connection.execute(PAIRS, {"often": often})
        plain = connection.execute(FIRST_PAIRS).fetchall()
        (decides,) = connection.execute(DECIDES).fetchall()
    assert decides == (often == 150,)
    rows = shown(database, "overview", "Referrers and the pages they led to").rows
    assert len(rows) == 100
    assert Counter(
        (row["referrer"], row["path"], row["pageviews"], row["visitors"]) for row in rows
    ) == Counter(plain)


def test_where_sessions_began_and_ended(filled: Database) -> None:
    entries = {row["path"]: row for row in shown(filled, "pages", "Entry pages").rows}
    exits = {row["path"]: row for row in shown(filled, "pages", "Exit pages").rows}
    # On the 8th "a" began at / and ended at /notes; every other session has one page.
    assert (entries["/"]["sessions"], entries["/"]["single_page_sessions"]) == (1, 0)
    assert (entries["/notes"]["sessions"], entries["/notes"]["single_page_sessions"]) == (2, 2)
    assert "/" not in exits
    assert exits["/notes"]["sessions"] == 3
    sessions = counted(filled, "count(distinct session_id)")
    assert figure(filled, "pages", "Sessions") == sessions == sum(row["sessions"] for row in entries.values())
    assert figure(filled, "pages", "Single-page sessions") == sessions - 1


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


def test_jobs_that_fail_stand_first(filled: Database) -> None:
    failing, well = shown(filled, "pipeline", "Jobs").rows
    assert (failing["job"], failing["last_done"], failing["failures_in_a_row"]) == ("upkeep", "never", 3)
    assert re.fullmatch(r"LockNotAvailable, 00:\d\d:\d\d ago", failing["last_error"])
    assert (well["job"], well["failures_in_a_row"], well["last_error"], well["next_try"]) == (
        "refresh", 0, "–", "now")  # fmt: skip
    assert re.fullmatch(r"00:\d\d:\d\d ago", well["last_done"])


def test_what_was_left_out(filled: Database) -> None:
    rows = shown(filled, "pipeline", "Left out").rows
    assert [(row["reason"], row["site"], row["requests"]) for row in rows] == [
        ("local-host", "–", 7), ("rate-limit", BLOG, 3)]  # fmt: skip
