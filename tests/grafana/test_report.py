"""`make report` says what the panels of the dashboards say, and what a plain count over the hits gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from grafana.panels import READER, SQL
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
    make_hit_at,
    set_zone,
    store,
)
from tests.grafana.test_panels import run
from tools.arguments import BadRequest
from tools.report.figures import QUESTIONS, report_of
from tools.report.request import request_of
from tools.report.shape import Report, json_of

pytestmark = pytest.mark.servers

SITES = pytest.mark.parametrize("site", ["", BLOG, SHOP, f"{BLOG},{SHOP}"])


def report(
    database: Database, role: str = "analyst", asked: Callable[[], None] = lambda: None, **named: str
) -> Report:
    """The report that a person of this role gets."""
    request = request_of({"FROM": FIRST_DAY, "TO": LAST_DAY, **named})
    with database.connect(role) as connection:
        return report_of(connection, request, asked)


def panel(database: Database, name: str, site: str) -> list[dict[str, Any]]:
    """What a panel of the dashboards shows for the same days and sites."""
    quoted = ", ".join("'" + part.replace("'", "''") + "'" for part in site.split(",") if part)
    return run(database, READER, (SQL / name).read_text(), {"site": quoted or "'__all__'"}, BEGIN, END).rows


def plain(database: Database, columns: str, site: str, condition: str = HUMAN) -> list[tuple[Any, ...]]:
    """A plain GROUP BY by the first of ``columns`` over the hits of the range."""
    sites = [part for part in site.split(",") if part]
    with database.connect() as connection:
        return connection.execute(
            f"select {columns} from hits where day between %s and %s and (%s = '' or site = any(%s))"
            f" and {condition} group by 1 order by 1",
            [FIRST_DAY, LAST_DAY, site, sites],
        ).fetchall()


@SITES
@pytest.mark.parametrize(("figure", "name"), [
    ("pageviews", "overview/pageviews.sql"), ("visitors", "overview/visitors.sql"),
    ("bot_hits", "bots/bot_hits.sql"), ("missing_pageviews", "missing/pageviews.sql"),
    ("anonymous_pageviews", "overview/anonymous_pageviews.sql"),
])  # fmt: skip
def test_a_figure_is_that_of_its_panel(filled: Database, site: str, figure: str, name: str) -> None:
    found = report(filled, SITE=site).headline[figure]
    [row] = panel(filled, name, site)
    assert found.value == next(iter(row.values()))
    if "change" in row:
        assert (found.words, found.colour) == (row["change"], row["colour"])


def test_a_change_is_that_of_the_panels(filled: Database) -> None:
    found = report(filled, FROM=FIRST_DAY, TO=FIRST_DAY).headline["pageviews"]
    assert (found.value, found.compared, found.before, found.change, found.change_percent) == (
        3,
        3,
        1,
        2,
        200.0,
    )
    assert (found.words, found.colour) == ("▲ 200 % · +2", "green")
    since = report(filled).headline["pageviews"]
    assert (since.before, since.change, since.change_percent) == (None, None, None)
    assert since.words == "counted since 2024-03-07"


@SITES
def test_json_is_a_plain_count_over_the_hits(filled: Database, site: str) -> None:
    found = json.loads(json_of(report(filled, SITE=site)))
    visitors = "count(distinct session_id)"
    for key, columns, condition, names in (
        ("by_day", f"day::text, count(*), {visitors}", HUMAN, ("day", "pageviews", "visitors")),
        ("pages", f"host || path, count(*), {visitors}", HUMAN, ("page", "pageviews", "visitors")),
        ("countries", f"coalesce(country, 'XX'), count(*), {visitors}", HUMAN,
         ("country", "pageviews", "visitors")),
        ("sources", "source, count(*)", f"{HUMAN} and source is not null", ("source", "pageviews")),
        ("missing", "host || path, count(*)", f"{HUMAN} and status in (404, 410)", ("page", "pageviews")),
        ("bots", "coalesce(bot_class, '–'), count(*)", "is_bot", ("kind", "hits")),
    ):  # fmt: skip
        rows = sorted(tuple(item[name] for name in names) for item in found[key] if item[names[1]])
        assert rows == sorted(plain(filled, columns, site, condition)), key
    assert sum(day["pageviews"] for day in found["by_day"]) == found["headline"]["pageviews"]["value"]
    for source in found["sources"]:
        assert (
            sum(page["pageviews"] for page in source["pages"]) + source["other_pageviews"]
            == source["pageviews"]
        )
    assert (found["version"], found["first_day"], found["last_day"]) == (1, FIRST_DAY, LAST_DAY)


def test_a_source_stands_over_its_pages(filled: Database) -> None:
    found = {source.source: source for source in report(filled).sources}
    [page] = found["Hacker News"].pages
    assert (page.page, page.title, page.referrer, page.pageviews) == (
        f"{BLOG}/notes", "Notes", "news.example/item?id=…", 2,
    )  # fmt: skip


def test_pageviews_a_visitor_are_the_pages_a_session_of_the_dashboard(filled: Database) -> None:
    [row] = panel(filled, "pages/pages_a_session.sql", "")
    assert report(filled).pageviews_a_visitor == float(row["pages_a_session"])


def test_what_is_wrong_is_said(filled: Database) -> None:
    found = {problem.kind: problem for problem in report(filled).problems}
    assert {"gap", "dead-letters", "uncounted"} <= set(found)
    assert found["dead-letters"].what_to_do == "make dead-letters"
    gaps = [problem.words for problem in report(filled).problems if problem.kind == "gap"]
    assert any("from 2024-03-08 22:00 to 2024-03-09 02:30 (4 h)" in words for words in gaps)


def test_today_is_marked_and_not_compared(database: Database) -> None:
    now = datetime.now(ZONE)
    views = {2: 2, 1: 1, 0: 9}  # by how many days ago
    with database.connect() as connection:
        set_zone(connection)
        store(connection, [
            make_hit_at(100 * ago + n, now - timedelta(days=ago), str(n))
            for ago, count in views.items() for n in range(count)
        ])  # fmt: skip
    found = report(database, FROM="", TO="", DAYS="2")
    assert [(day.pageviews, day.is_open, day.pageviews_before) for day in found.by_day] == [
        (1, False, 2), (9, True, None),
    ]  # fmt: skip
    figure = found.headline["pageviews"]
    assert (figure.value, figure.compared, figure.before, figure.change_percent) == (10, 1, 2, -50.0)
    alone = report(database, FROM="", TO="", DAYS="1").headline["pageviews"]
    assert (alone.value, alone.before, alone.change, alone.words) == (9, 1, None, "1 the day before")


def test_posts_that_were_published_later_are_not_shown(filled: Database) -> None:
    assert [post.title for post in report(filled).posts] == ["Cart", "Notes <new>"]
    assert [post.title for post in report(filled, TO="2024-03-11").posts] == ["Notes <new>"]


@pytest.mark.parametrize("role", ["analyst", "grafana_reader"])
def test_it_asks_as_many_questions_as_its_progress_says(filled: Database, role: str) -> None:
    asked: list[None] = []
    report(filled, role, lambda: asked.append(None))
    assert len(asked) == QUESTIONS


def test_an_unknown_site_says_which_there_are(filled: Database) -> None:
    with pytest.raises(BadRequest, match=r"SITE: there is none of the name 'x\.example'; there are: blog\."):
        report(filled, SITE="x.example")


def test_an_empty_installation_is_no_error(database: Database) -> None:
    found = report(database, FROM="", TO="", SITE="blog.example")
    assert found.is_empty
    assert (found.by_day, found.pages, found.problems) == ((), (), ())
    assert found.headline["pageviews"].value == 0
    assert json.loads(json_of(found))["counted_since"] is None
