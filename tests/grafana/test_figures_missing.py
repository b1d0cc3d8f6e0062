"""The panels of *missing* show what a plain count over the hits gives, and what became of each page since."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Database
from tests.grafana.rows import BEGIN, BLOG, END, NEWS, SHOP, ZONE, make_hit, make_hit_at, set_zone, store
from tests.grafana.test_figures import SELECTIONS, counted, figure, shown

pytestmark = pytest.mark.servers

PAGEVIEWS, SHARE, PAGES = "Pageviews of missing pages", "Share of all pageviews", "Missing pages"
WORKLIST, LINKS = "What to mend", "Who links to missing pages"
LOST = "count(*) filter (where status in (404, 410))"
GONE: dict[str, Any] = {"path": "/gone", "status": 404}
DAY = timedelta(days=1)


@SELECTIONS
def test_figures_are_those_of_the_hits(filled: Database, sites: list[str]) -> None:
    lost, every = counted(filled, LOST, sites), counted(filled, "count(*)", sites)
    assert figure(filled, "missing", PAGEVIEWS, sites) == lost
    assert float(figure(filled, "missing", SHARE, sites)) == pytest.approx(100 * lost / every)
    addresses = counted(
        filled, "count(distinct (site, host, path)) filter (where status in (404, 410))", sites
    )
    assert figure(filled, "missing", PAGES, sites) == addresses
    for title in (WORKLIST, LINKS):
        assert sum(row["pageviews"] for row in shown(filled, "missing", title, sites).rows) == lost
    rows = shown(filled, "missing", "Pageviews of missing pages over time", sites).rows
    assert sum(row["missing"] for row in rows) == lost


def test_against_as_many_days_before(filled: Database) -> None:
    later = timedelta(days=5)
    (row,) = shown(filled, "missing", PAGEVIEWS, None, BEGIN + later, END + later).rows
    assert (row["pageviews"], row["change"]) == (0, "▼ 100 % · −2")
    (row,) = shown(filled, "missing", PAGES, None, BEGIN + 2 * DAY, END).rows
    assert (row["pages"], row["change"]) == (2, "▲ +2 from 0")


def test_what_led_there(filled: Database) -> None:
    rows = shown(filled, "missing", LINKS).rows
    assert [(row["path"], row["referrer"], row["whose"], row["last_day"]) for row in rows] == [
        ("/gone", "–", "–", "2024-03-12"),
        ("/lost", "https://search.example/", "elsewhere", "2024-03-10"),
    ]


def test_the_first_referrer_the_others_and_own_links(database: Database) -> None:
    referrers = [
        "https://far.example/", "https://far.example/", f"https://{BLOG}/index", f"https://WWW.{BLOG}:8000?x",
        f"https://not{BLOG}/", None, None, None,
    ]  # fmt: skip
    with database.connect() as connection:
        set_zone(connection)
        hits = [make_hit(n, 10, str(n), **GONE, referrer=address) for n, address in enumerate(referrers)]
        store(connection, [*hits, make_hit(20, 10, "x", path="/one", status=410, **NEWS)])
    gone, one = shown(database, "missing", WORKLIST).rows
    assert (gone["pageviews"], gone["referrer"], gone["own_pageviews"]) == (
        8,
        "https://far.example/ + 3 others",
        2,
    )
    assert gone["referrer_address"] == "https://far.example/"
    assert (one["path"], one["referrer"], one["own_pageviews"]) == ("/one", NEWS["referrer"], 0)
    whose = {row["referrer"]: row["whose"] for row in shown(database, "missing", LINKS).rows}
    assert [whose[address or "–"] for address in referrers[1:6]] == [
        "elsewhere", "own page", "own page", "elsewhere", "–"]  # fmt: skip


# How many days ago, and what differs from a pageview of /gone with 404; what is then said of the page today.
LIVES: list[tuple[str, list[tuple[int, dict[str, Any]]], str]] = [
    ("asked for today", [(9, {}), (0, {})], "still missing"),
    ("asked for within the week", [(6, {})], "still missing"),
    ("asked for by nobody", [(12, {}), (7, {})], "quiet for 7 days"),
    ("repaired", [(9, {}), (5, {"status": 200}), (3, {"status": None})], "back since {5}"),
    ("repaired and missing again", [(9, {}), (5, {"status": 200}), (2, {})], "still missing"),
    ("there on its last missing day", [(2, {}), (2, {"status": 200})], "still missing"),
    ("there before it was missing", [(9, {"status": 200}), (2, {})], "still missing"),
    ("seen by a bot", [(3, {}), (1, {"status": 200, "is_bot": True})], "still missing"),
    ("seen by the owner", [(3, {}), (1, {"status": 200, "is_me": True})], "still missing"),
    ("an event of it", [(3, {}), (1, {"status": 200, "event": "copy"})], "still missing"),
    ("another page of the host", [(3, {}), (1, {"status": 200, "path": "/"})], "still missing"),
    (
        "the page of another site",
        [(3, {}), (1, {"status": 200, "site": SHOP, "host": SHOP})],
        "still missing",
    ),
]


@pytest.mark.parametrize(("life", "status"), [life[1:] for life in LIVES], ids=[life[0] for life in LIVES])
def test_what_became_of_a_page(
    database: Database, life: list[tuple[int, dict[str, Any]]], status: str
) -> None:
    now = datetime.now(ZONE)
    days = {ago: str((now - ago * DAY).date()) for ago, _ in life}
    with database.connect() as connection:
        set_zone(connection)
        hits = [
            make_hit_at(n, now - ago * DAY, "a", **GONE | differing)
            for n, (ago, differing) in enumerate(life)
        ]
        store(connection, hits)
    (row,) = shown(database, "missing", WORKLIST, None, now - 30 * DAY, now).rows
    for ago, day in days.items():
        status = status.replace(f"{{{ago}}}", day)
    assert row["status"] == status
    lost = [ago for ago, differing in life if "status" not in differing]
    assert (row["first_day"], row["last_day"]) == (days[max(lost)], days[min(lost)])


def test_first_seen_and_status_do_not_depend_on_the_range(database: Database) -> None:
    now = datetime.now(ZONE)
    lives = {"/gone": (40, 20, 1), "/quiet": (40, 20), "/often": (3,) * 3}
    with database.connect() as connection:
        set_zone(connection)
        hits = [
            make_hit_at(n, now - ago * DAY, str(n), path=path, status=404)
            for n, (path, ago) in enumerate((path, ago) for path, days in lives.items() for ago in days)
        ]
        store(connection, [*hits, make_hit_at(99, now - 39 * DAY, "b", path="/quiet")])
    rows = shown(database, "missing", WORKLIST, None, now - 25 * DAY, now - 15 * DAY).rows
    assert [(row["path"], row["status"], row["pageviews"], row["change"]) for row in rows] == [
        ("/gone", "still missing", 1, "▲ +1 from 0"), ("/quiet", "quiet for 20 days", 1, "▲ +1 from 0")]  # fmt: skip
    assert rows[0]["first_day"] == str((now - 40 * DAY).date())
    assert rows[0]["last_day"] == str((now - DAY).date())


def test_what_is_missing_still_comes_first(database: Database) -> None:
    now = datetime.now(ZONE)
    lost = {"/back": (9, 9, 9), "/quiet": (8, 8), "/few": (1,), "/many": (2, 1)}
    with database.connect() as connection:
        set_zone(connection)
        hits = [
            make_hit_at(n, now - ago * DAY, str(n), path=path, status=404)
            for n, (path, ago) in enumerate((path, ago) for path, days in lost.items() for ago in days)
        ]
        store(connection, [*hits, make_hit_at(99, now - DAY, "z", path="/back")])
    rows = shown(database, "missing", WORKLIST, None, now - 30 * DAY, now).rows
    assert [row["path"] for row in rows] == ["/many", "/few", "/quiet", "/back"]
