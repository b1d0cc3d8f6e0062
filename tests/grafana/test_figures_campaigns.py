"""``campaigns`` shows what a plain count over the hits gives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Database, cloned
from tests.grafana.rows import BLOG, make_hit, set_zone, store
from tests.grafana.test_figures import SELECTIONS, counted, figure, shown
from tools.servers import Postgres

pytestmark = pytest.mark.servers

BY_CAMPAIGN = "coalesce(utm_source, utm_medium, utm_campaign) is not null"
NAMES = [f"campaign {n:02}" for n in range(1, 13)]
# The first has 12 pageviews of two people, the last one; two of no name, and some that no campaign brought.
HITS: list[tuple[int, str | None, dict[str, Any]]] = [
    *[
        (8 + n % 3, "ab"[n % 2], {"utm_campaign": name, "utm_source": "letter", "utm_medium": "email"})
        for place, name in enumerate(NAMES)
        for n in range(12 - place)
    ],
    (9, "c", {"utm_medium": "social"}),
    (9, None, {"utm_medium": "social", "path": "/b"}),
    (9, "c", {"utm_campaign": NAMES[0], "event": "signup"}),
    (9, "robot", {"utm_campaign": "of bots", "is_bot": True}),
    (10, "c", {}),
    (10, "c", {"path": "/b"}),
]


@pytest.fixture(scope="module")
def campaigns(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """The hits of ``HITS``."""
    with cloned(postgres, template_database) as database:
        with database.connect() as connection:
            set_zone(connection)
            hits = [make_hit(n, day, who, **differing) for n, (day, who, differing) in enumerate(HITS)]
            store(connection, hits)
        yield database


@SELECTIONS
def test_the_figures(filled: Database, campaigns: Database, sites: list[str]) -> None:
    for database in (filled, campaigns):
        every = counted(database, "count(*)", sites)
        by_campaign = counted(database, f"count(*) filter (where {BY_CAMPAIGN})", sites)
        names = counted(database, "count(distinct utm_campaign)", sites)
        if every:
            assert figure(database, "campaigns", "Pageviews by campaigns", sites) == by_campaign
            share = figure(database, "campaigns", "Share of all pageviews", sites)
            assert float(share) == round(100 * by_campaign / every, 1)
            assert figure(database, "campaigns", "Campaigns seen", sites) == names
        else:
            assert shown(database, "campaigns", "Pageviews by campaigns", sites).rows == []


def test_each_campaign_has_its_pageviews_and_visitors(campaigns: Database) -> None:
    rows = shown(campaigns, "campaigns", "Campaigns").rows
    assert [row["utm_campaign"] for row in rows][:2] == NAMES[:2]
    assert len(rows) == len(NAMES) + 1
    for row in rows:
        of = "filter (where (coalesce(utm_campaign, '–'), coalesce(utm_medium, '–')) = ('{}', '{}'))".format(
            row["utm_campaign"], row["utm_medium"]
        )
        assert row["pageviews"] == counted(campaigns, f"count(*) {of}")
        assert row["visitors"] == counted(campaigns, f"count(distinct session_id) {of}")
    assert sum(row["pageviews"] for row in rows) == counted(
        campaigns, f"count(*) filter (where {BY_CAMPAIGN})"
    )


def test_the_curve_has_the_first_eight_and_all_others(campaigns: Database) -> None:
    rows = shown(campaigns, "campaigns", "Campaigns over time").rows
    lines = dict.fromkeys(row["metric"] for row in rows)
    assert list(lines) == [*NAMES[:8], "+ 5 others"]
    assert len(rows) == 3 * len(lines), "a day without pageviews has a zero"
    totals = {
        line: sum(row["pageviews"] for row in rows if row["metric"] == line and row["pageviews"])
        for line in lines
    }
    assert list(totals.values()) == [12, 11, 10, 9, 8, 7, 6, 5, 4 + 3 + 2 + 1 + 2]


def test_mediums_and_sources_add_up(campaigns: Database) -> None:
    for title, column, none in (("Mediums", "utm_medium", 0), ("Sources of campaigns", "utm_source", 2)):
        rows = shown(campaigns, "campaigns", title, [BLOG]).rows
        assert sum(row["share"] for row in rows) == 100
        assert {row[column]: row["pageviews"] for row in rows}.get("–", 0) == none
        by_campaign = counted(campaigns, f"count(*) filter (where {BY_CAMPAIGN})")
        assert sum(row["pageviews"] for row in rows) == by_campaign
