"""The panels show what a plain count over the hits of the days that the range touches gives."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from grafana.panels import READER, SQL
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
from tests.grafana.test_panels import FILES, Result, panel_named, run, run_panel

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


NESTED = "Sources and the pages they led to"
OVER_TIME = "Pageviews and visitors over time"
HOURS = "By hour: today and yesterday"


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
    ("Without a session", "count(*) - count(session_id)"),
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
    now = figure(filled, "overview", title)
    # The 8th alone against the 7th, which has one hit.
    (row,) = shown(filled, "overview", title, end=BEGIN).rows
    the_8th = next(iter(row.values()))
    assert change(filled, title, end=BEGIN) == f"▲ {(the_8th - 1) * 100:,} % · +{the_8th - 1}"
    later = timedelta(days=5)
    assert (
        change(filled, title, BEGIN + later, END + later) == f"▼ {(now - 1) * 100 / now:.0f} % · −{now - 1}"
    )


def test_a_period_that_was_counted_in_part_is_not_compared(filled: Database) -> None:
    # Five days from the 8th on, and of the five before only the 7th, which is the first that was counted.
    assert change(filled, "Pageviews") == "counted since 2024-03-07"
    assert change(filled, "Pageviews", sites=[SHOP]) == "counted since 2024-03-12"


def test_nothing_was_counted_before_the_first_day(database: Database) -> None:
    with database.connect() as connection:
        set_zone(connection)
        store(connection, [make_hit(1, 8, "a")])
    assert figure(database, "overview", "Pageviews") == 1
    assert change(database, "Pageviews") == "counted since 2024-03-08"


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
    assert change(database, "Pageviews", now - 2 * day, now) == f"counted since {(now - 3 * day).date()}"
    assert change(database, "Pageviews", now, now) == "4 the day before"
    assert change(database, "Pageviews", now - day, now - day) == "▲ 300 % · +3"
    points = [
        (row["pageviews"], row["pageviews_open"], row["pageviews_before"])
        for row in shown(database, "overview", OVER_TIME, begin=now - 2 * day, end=now).rows
    ]
    # From two days ago, which were compared with 4 and 3 days ago; nothing was counted 4 days ago.
    assert points == [(1, None, None), (4, 4, 2), (None, 9, None)]
    (point,) = shown(database, "overview", OVER_TIME, begin=now, end=now).rows
    assert (point["pageviews"], point["pageviews_open"], point["pageviews_before"]) == (None, 9, 4)


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
        assert (first["page"], first["title"], first["pageviews"]) == (BLOG + "/notes", "Notes", 4)
    assert figure(filled, "pages", "Pages seen") == len(rows)


def test_a_page_without_a_title_says_so(filled: Database) -> None:
    titles = {row["page"]: row["title"] for row in shown(filled, "pages", "Pages").rows}
    assert (titles[f"{BLOG}/"], titles[f"www.{SHOP}/cart"]) == ("Home", "–")


def test_a_link_opens_the_page_though_its_path_is_kept_decoded(filled: Database) -> None:
    links = {row["page"]: row["page_address"] for row in shown(filled, "overview", "Popular pages").rows}
    assert links[f"{BLOG}/notes"] == f"https://{BLOG}/notes"
    assert links[f"www.{SHOP}/cart"] == f"https://www.{SHOP}/cart"
    assert links[f"{BLOG}/100% sure?#1"] == f"https://{BLOG}/100%25 sure%3F%231"


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
    rows = shown(filled, "sources", "Sources").rows
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
    rows = shown(filled, "sources", "Referrers and the pages they led to").rows
    assert sum(row["pageviews"] for row in rows) == counted(filled, "count(source)")
    pair = next(row for row in rows if row["source"] == "Hacker News")
    assert pair["referrer"] == "https://news.example/item?id=…"
    assert (pair["page"], pair["title"], pair["pageviews"], pair["visitors"]) == (
        f"{BLOG}/notes",
        "Notes",
        2,
        2,
    )


def test_sources_stand_over_the_pages_they_led_to(filled: Database) -> None:
    rows = shown(filled, "overview", NESTED).rows
    sources = [row for row in rows if row["page"] == "All"]
    assert sum(row["pageviews"] for row in sources) == counted(filled, "count(source)")
    assert [(row["label"], row["page"], row["pageviews"]) for row in rows if row["source"] == "Hacker News"] == [
        ("Hacker News", "All", 2), ("↳ Notes", f"{BLOG}/notes", 2)]  # fmt: skip


def test_what_is_not_shown_of_many_sources_is_said(database: Database) -> None:
    many = [
        make_hit_at(
            n, datetime(2024, 3, 10, 12, tzinfo=ZONE), str(n), path=f"/{n % 7}",
            source=f"s{n % 20:02}.example", channel="Referral", referrer=f"https://s{n % 20:02}.example/{n % 3}",
        )
        for n in range(20 * 21)
    ]  # fmt: skip
    with database.connect() as connection:
        set_zone(connection)
        store(connection, many)
    rows = shown(database, "overview", NESTED).rows
    assert (rows[-1]["label"], rows[-1]["pageviews"], rows[-1]["source"]) == (
        "+ 5 other sources",
        5 * 21,
        "All",
    )
    first = [row["pageviews"] for row in rows if row["source"] == "s00.example"]
    assert first[0] == 21 == sum(first[1:])
    assert [row["label"] for row in rows[:6]][-1] == "↳ … others"
    assert sum(row["pageviews"] for row in rows if not row["label"].startswith("↳")) == len(many)


def test_a_page_stands_once_under_its_source_by_the_first_of_its_referrers(database: Database) -> None:
    led = {("a", "/x"): 5, ("b", "/x"): 3, ("c", "/x"): 1, ("b", "/y"): 6,
           ("a", "/1"): 3, ("a", "/2"): 2, ("b", "/3"): 1, ("c", "/4"): 1}  # fmt: skip
    visits = [
        {"path": path, "source": "Reader", "channel": "Social", "referrer": f"https://www.{name}.example/{name}"}
        for (name, path), times in led.items() for _ in range(times)
    ]  # fmt: skip
    with database.connect() as connection:
        set_zone(connection)
        store(connection, [make_hit(n, 10, str(n), **visit) for n, visit in enumerate(visits)])
    rows = shown(database, "overview", NESTED).rows
    assert [(row["label"], row["referrer"], row["pageviews"], row["address"]) for row in rows] == [
        ("Reader", "\N{ZERO WIDTH SPACE}", sum(led.values()), "about:blank"),
        ("↳ /x", "a.example/a + 2 more", 9, "https://www.a.example/a"),
        ("↳ /y", "b.example/b", 6, "https://www.b.example/b"),
        ("↳ /1", "a.example/a", 3, "https://www.a.example/a"),
        ("↳ /2", "a.example/a", 2, "https://www.a.example/a"),
        ("↳ … others", "\N{ZERO WIDTH SPACE}", 2, "about:blank"),
    ]


def test_the_last_hit_of_an_installation_whose_minutes_were_not_kept(database: Database) -> None:
    def says() -> list[Any]:
        return [row["last_hit"] for row in shown(database, "overview", "Last hit").rows]

    def ago(**span: float) -> datetime:
        return (datetime.now(UTC) - timedelta(**span)).astimezone(ZONE)

    with database.connect() as connection:
        set_zone(connection)
        store(connection, [make_hit_at(1, ago(hours=5), "a")])
        assert says() == ["5 h ago"]
        connection.execute("delete from ingest_minutes")
        assert says() in (["5 h ago"], ["6 h ago"]), "the beginning of its hour"
        store(connection, [make_hit_at(2, ago(seconds=3), "bot", is_bot=True)])
        assert re.fullmatch(r"\d+ s ago", *says())


def test_a_referrer_is_a_link_only_where_it_is_a_web_address(filled: Database) -> None:
    rows = shown(filled, "sources", "Referrers and the pages they led to").rows
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
    rows = shown(database, "sources", "Referrers and the pages they led to").rows
    assert len(rows) == 100
    assert Counter(
        (row["referrer"], row["page"], row["pageviews"], row["visitors"]) for row in rows
    ) == Counter((referrer, BLOG + path, *counts) for referrer, path, *counts in plain)


def test_where_sessions_began_and_ended(filled: Database) -> None:
    entries = {row["page"]: row for row in shown(filled, "pages", "Entry pages").rows}
    exits = {row["page"]: row for row in shown(filled, "pages", "Exit pages").rows}
    # On the 8th "a" began at / and ended at /notes; every other session has one page.
    assert (entries[f"{BLOG}/"]["sessions"], entries[f"{BLOG}/"]["single_page_sessions"]) == (1, 0)
    assert (entries[f"{BLOG}/notes"]["sessions"], entries[f"{BLOG}/notes"]["single_page_sessions"]) == (2, 2)
    assert f"{BLOG}/" not in exits
    assert exits[f"{BLOG}/notes"]["sessions"] == 3
    sessions = counted(filled, "count(distinct session_id)")
    assert figure(filled, "pages", "Sessions") == sessions == sum(row["sessions"] for row in entries.values())
    with_session = counted(filled, "count(session_id)")
    assert float(figure(filled, "pages", "Single-page sessions")) == pytest.approx(
        100 * (sessions - 1) / sessions, abs=0.05
    )
    assert float(figure(filled, "pages", "Pages a session")) == pytest.approx(
        with_session / sessions, abs=0.005
    )


def test_the_ledger_closes(filled: Database) -> None:
    figures = {name: figure(filled, "pipeline", name) for name in
               ("Accepted", "Stored", "Duplicate", "Dead-lettered", "Unaccounted for")}  # fmt: skip
    assert figures["Stored"] == counted(filled, "count(*)", human=False)
    assert (figures["Dead-lettered"], figures["Unaccounted for"]) == (2, 0)
    rows = shown(filled, "pipeline", "Ledger").rows
    assert sum(row["accepted"] for row in rows) == figures["Accepted"]
    assert [row["site"] for row in rows if row["dead_lettered"]] == ["–"]


def test_what_waits_is_shown_whatever_the_range(filled: Database) -> None:
    assert figure(filled, "pipeline", "Uncounted") == 4
    assert 90 <= figure(filled, "pipeline", "Rollups behind") < 3_600
    assert 8 <= figure(filled, "pipeline", "Oldest entry") < 3_600
    assert 3 <= figure(filled, "pipeline", "Last look") < 3_600


def test_nothing_waits(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("insert into ledger (site, day) values (%s, '2020-01-01')", [BLOG])
    assert figure(database, "pipeline", "Uncounted") == 0
    assert figure(database, "pipeline", "Rollups behind") == 0
    assert figure(database, "pipeline", "Open letters") == 0
    assert figure(database, "pipeline", "Ledger faults") == 0


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


# The pipeline -----------------------------------------------------------------------------------------------------


def at_noon(day: int) -> datetime:
    """When the rows' hits of a day were received."""
    return datetime(2024, 3, day, 12, tzinfo=ZONE)


def test_hits_of_years_ago_that_were_stored_now_came_late(filled: Database) -> None:
    assert figure(filled, "pipeline", "Last hit") > 365 * 86_400
    assert figure(filled, "pipeline", "Mean delay") > 365 * 86_400
    assert figure(filled, "pipeline", "Longest delay") > 365 * 86_400
    late = shown(filled, "pipeline", "Late hits").rows
    assert [(row["time"], row["late"]) for row in late] == [(at_noon(9), 3), (at_noon(10), 3)]


def test_letters_that_somebody_has_to_look_at(filled: Database) -> None:
    assert figure(filled, "pipeline", "Open letters") == 3, "too-late is no fault"
    rows = shown(filled, "pipeline", "Dead letters").rows
    assert [(row["reason"], row["site"], row["hits"]) for row in rows] == [
        ("too-late", BLOG, 5), ("seal", "–", 2), ("url", BLOG, 1)]  # fmt: skip
    assert figure(filled, "pipeline", "Ledger faults") == 1


def test_gaps_of_the_range_stand_by_the_reporting_zone(filled: Database) -> None:
    [gap] = shown(filled, "pipeline", "Gaps").rows
    assert gap == {"began": "2024-03-08 22:00", "ended": "2024-03-09 02:30", "seconds": 16_200}


def test_minutes_are_a_mean_of_wider_steps_in_a_longer_range(filled: Database) -> None:
    rows = shown(filled, "pipeline", "Hits stored a minute").rows
    assert [row["stored"] for row in rows[:2]] == [round(Decimal(40) / 15, 2), 0]
    assert rows[1]["time"] - rows[0]["time"] == timedelta(minutes=15)
    [row] = shown(filled, "pipeline", "Ingest delay").rows
    assert (row["mean"], row["longest"]) == (Decimal("1.1"), 40)


def test_the_disk_lasts_as_long_as_the_faster_of_two_says(filled: Database) -> None:
    assert figure(filled, "pipeline", "Disk lasts") == 46
    assert figure(filled, "pipeline", "Disk free") == 46_000_000_000


@pytest.mark.parametrize(("grows", "days"), [(0, 36_500), (1, 36_500), (-5, 36_500), (5_000_000, 1_000)])
def test_a_disk_that_does_not_fill_lasts_for_ever(database: Database, grows: int, days: int) -> None:
    with database.connect() as connection:
        connection.execute(
            "insert into disk_looks (looked_at, database_bytes, disk_free_bytes, disk_total_bytes)"
            " select now() - make_interval(days => d), 1000000 - d * %s, 5000000000, 9000000000"
            " from generate_series(0, 4) as d",
            [grows],
        )
    assert figure(database, "pipeline", "Disk lasts") == days


@pytest.mark.parametrize(
    ("looks", "says"), [(1, "not known before two days"), (4, "1000 kB")], ids=["a day", "four days"]
)
def test_how_fast_the_database_grows_is_not_known_at_once(database: Database, looks: int, says: str) -> None:
    with database.connect() as connection:
        set_zone(connection)
        store(connection, [make_hit(1, 8, "a")])
        connection.execute(
            "insert into ledger (site, day, accepted, stored) values ('a', '2024-03-08', 1, 1)"
        )
        connection.execute(
            "insert into disk_looks (looked_at, database_bytes, disk_free_bytes, disk_total_bytes)"
            " select now() - make_interval(days => d), 9000000 - d * 1024000, 5000000000, 9000000000"
            " from generate_series(0, %s) as d",
            [looks],
        )
    rows = {row["what"]: row["says"] for row in shown(database, "pipeline", "Installation").rows}
    assert rows["Grows a day"] == says


def annotations(
    database: Database, name: str, sites: str = "'__all__'", end: datetime = END
) -> list[tuple[Any, ...]]:
    """As Grafana asks for them."""
    sql = (SQL / "annotations" / f"{name}.sql").read_text("utf-8")
    result = run(database, READER, sql, {"site": sites}, end=end)
    assert list(result.columns) == ["time", "timeend", "text", "tags"]
    return [tuple(row.values()) for row in result.rows]


def test_gaps_are_drawn_on_the_curves(filled: Database) -> None:
    [closed] = annotations(filled, "gaps")
    at = datetime(2024, 3, 9, 3, tzinfo=UTC)
    assert closed == (at, at + timedelta(hours=4.5), "No pixel could take hits: 4 h", "gap")
    same, still_open = annotations(filled, "gaps", end=datetime.now(UTC))
    assert same == closed
    assert still_open[1] > still_open[0]
    assert re.fullmatch(r"No pixel could take hits: \d+ min, and none is heard yet", still_open[2])


def test_late_hits_are_drawn_on_the_curves_hours_in_a_row_as_one(
    filled: Database, database: Database
) -> None:
    first, second = annotations(filled, "late")
    assert first[:2] == (at_noon(9), at_noon(9) + timedelta(hours=1))
    assert re.fullmatch(r"3 hits of this time came late, by up to \d+ days", first[2])
    assert second[0] == at_noon(10)
    assert annotations(filled, "late", "'never.example'") == []
    with database.connect() as connection:
        connection.execute(
            "insert into late_hits values"
            " ('2024-03-09 12:00 UTC', 'a', 1, 61), ('2024-03-09 12:00 UTC', 'b', 2, 90),"
            " ('2024-03-09 13:00 UTC', 'b', 2, 7300), ('2024-03-09 15:00 UTC', 'a', 1, 600000)"
        )
    noon = datetime(2024, 3, 9, 12, tzinfo=UTC)
    assert annotations(database, "late") == [
        (noon, noon + timedelta(hours=2), "5 hits of this time came late, by up to 2 h", "late"),
        (noon + timedelta(hours=3), noon + timedelta(hours=4),
         "1 hit of this time came late, by up to 6 days", "late"),
    ]  # fmt: skip
