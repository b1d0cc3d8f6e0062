"""The panels of *bots* show what a plain count over the hits and the ledger gives."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from services.pixel.collect import ExclusionReason, RefusalReason
from tests.conftest import Database
from tests.grafana.rows import BEGIN, BLOG, END, FIRST_DAY, LAST_DAY, SHOP
from tests.grafana.test_figures import SELECTIONS, counted, figure, shown

pytestmark = pytest.mark.servers

PEOPLE = "not is_bot and not is_me"
DAY = timedelta(days=1)


@SELECTIONS
@pytest.mark.parametrize(("title", "where"), [
    ("Hits of bots", "is_bot"),
    ("Hits of AI crawlers", "bot_class = 'AI'"),
    ("The owner's own hits", "is_me"),
])  # fmt: skip
def test_figures_are_those_of_the_hits(filled: Database, sites: list[str], title: str, where: str) -> None:
    expected = counted(filled, f"count(*) filter (where {where})", sites, human=False)
    assert figure(filled, "bots", title, sites) == expected
    assert expected or sites == [SHOP]


def test_against_as_many_days_before(filled: Database) -> None:
    later = 5 * DAY
    for title, before in (("Hits of bots", 3), ("Hits of AI crawlers", 1), ("The owner's own hits", 1)):
        (row,) = shown(filled, "bots", title, None, BEGIN + later, END + later).rows
        assert list(row.values()) == [0, f"▼ 100 % · −{before}", "text"]


@SELECTIONS
def test_the_share_of_bots(filled: Database, sites: list[str]) -> None:
    share = f"100.0 * count(*) filter (where is_bot) / count(*) filter (where is_bot or {PEOPLE})"
    expected = counted(filled, share, sites, human=False)
    assert figure(filled, "bots", "Share of bots", sites) == expected


def test_bots_by_name_and_kind(filled: Database) -> None:
    assert shown(filled, "bots", "Bots").rows == [
        {"bot_name": "crawler", "bot_class": "search", "bot_hits": 2, "last_day": "2024-03-12"},
        {"bot_name": "GPTBot", "bot_class": "AI", "bot_hits": 1, "last_day": "2024-03-10"},
    ]
    assert shown(filled, "bots", "Kinds of bots").rows == [
        {"bot_class": "search", "bot_hits": 2}, {"bot_class": "AI", "bot_hits": 1}]  # fmt: skip


def test_what_they_read(filled: Database) -> None:
    with filled.connect() as connection:
        plain = connection.execute(
            "select host, path, count(*), max(day)::text from hits where is_bot and day between %s and %s"
            " group by host, path order by 3 desc, host, path",
            [FIRST_DAY, LAST_DAY],
        ).fetchall()
    rows = shown(filled, "bots", "What they read").rows
    assert [tuple(row.values())[:4] for row in rows] == plain
    assert plain == [(BLOG, "/notes", 2, "2024-03-12"), (BLOG, "/", 1, "2024-03-09")]
    assert rows[0]["page_address"] == f"https://{BLOG}/notes"


def test_points_over_time_add_up_to_the_lists(filled: Database) -> None:
    of = {"Kinds of bots over time": {"search": 2, "AI": 1}, "AI crawlers over time": {"GPTBot": 1}}
    for title, expected in of.items():
        rows = shown(filled, "bots", title).rows
        found: Counter[str] = Counter()
        for row in rows:
            found[row["metric"]] += row["bot_hits"]
        assert found == expected
        assert len(rows) == 5 * len(expected), "a day without a hit is a zero"
    rows = shown(filled, "bots", "Bots, owner and people over time").rows
    assert sum(row["bot_hits"] for row in rows) == 3


@SELECTIONS
def test_sites_add_up(filled: Database, sites: list[str]) -> None:
    rows = shown(filled, "bots", "Sites", sites).rows
    for name, where in (("bot_hits", "is_bot"), ("owner_hits", "is_me")):
        expected = counted(filled, f"count(*) filter (where {where})", sites, human=False)
        assert sum(row[name] for row in rows) == expected


def test_what_was_left_out_and_why(filled: Database) -> None:
    rows = shown(filled, "bots", "Left out, and why").rows
    assert [(row["outcome"], row["reason"], row["site"], row["requests"]) for row in rows] == [
        ("excluded", "local-host", "–", 7), ("refused", "rate-limit", BLOG, 3)]  # fmt: skip
    over_time = shown(filled, "bots", "Left out over time").rows
    found: Counter[str] = Counter()
    for row in over_time:
        found[row["metric"]] += row["requests"]
    assert found == {"local-host": 7, "rate-limit": 3}


def test_every_reason_of_the_pixel_is_said_in_words(database: Database) -> None:
    refused = {*RefusalReason.__args__, "query", "rate-limit", "too-many", "not-durable"}  # type: ignore[attr-defined]
    excluded = set(ExclusionReason.__args__)  # type: ignore[attr-defined]
    with database.connect() as connection:
        for outcome, reasons in (("refused", refused), ("excluded", excluded)):
            connection.execute(
                "insert into ledger_left_out (site, day, outcome, reason, hits)"
                " select '', '2024-03-09', %s, reason, 1 from unnest(%s::text[]) as reason",
                [outcome, list(reasons)],
            )
        connection.execute(
            "insert into dead_letters (site, day, entry_id, reason, hits, size_bytes, buried_at)"
            " values ('', '2024-03-09', '1-0', 'url', 2, 100, now())"
        )
    rows = shown(database, "bots", "Left out, and why").rows
    assert {row["reason"] for row in rows} == refused | excluded
    assert {row["requests"] for row in rows} == {1}, (
        "a dead letter was accepted: it is on the dashboard pipeline"
    )
    assert "–" not in {row["meaning"] for row in rows}
