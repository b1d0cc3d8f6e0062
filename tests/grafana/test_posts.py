"""The SQL of posts, feeds and annotations, as the dashboards' role: what it shows is what was counted and written."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from grafana.expand import ALL, expand, variable_value
from services.rollup.feeds import Post
from services.rollup.posts import put as put_posts
from services.rollup.refresh import prepare
from tests.conftest import Database, cloned
from tests.grafana.rows import ZONE, set_zone, store
from tests.make import make_hit
from tools.servers import Postgres

pytestmark = pytest.mark.servers
SQL = Path(__file__).resolve().parents[2] / "grafana/sql"
SITE = {"name": "site", "multi": True, "includeAll": True, "allValue": "'__all__'"}
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
BLOG, SHOP = "blog.example", "o'shop.example"
# A post of nine days ago was read so many hours after it was published.
READ = [NOW - 9 * DAY + datetime.timedelta(hours=hours) for hours in (-1 / 3600, 0, 1, 23, 24, 167, 168)]


@pytest.fixture(scope="module")
def empty(postgres: Postgres, template_database: str) -> Iterator[Database]:
    with cloned(postgres, template_database) as database:
        yield database


@pytest.fixture(scope="module")
def posted(postgres: Postgres, template_database: str) -> Iterator[Database]:
    """Twelve posts, the newest one announced; two have hits."""
    with cloned(postgres, template_database) as database, database.connect() as owner:
        set_zone(owner)
        with psycopg.connect(database.owner_url) as connection:
            prepare(connection)
            made = [post(BLOG, f"/{number}", NOW - number * DAY) for number in range(11)]
            put_posts(connection, "blog.example/feed", made, sleep=lambda _: None)
            shop = [post(SHOP, "/sale", NOW - 2.5 * DAY, 'A & <b> "B"'), post(SHOP, "/soon", NOW + DAY)]
            put_posts(connection, "o'shop.example/feed", shop, sleep=lambda _: None)
        store(owner, [hit("/9", at, number) for number, at in enumerate(READ)])
        store(
            owner,
            [hit("/9", NOW - 8 * DAY, 1, is_bot=True), hit("/2", NOW - DAY, 2), hit("/2", NOW - DAY, 2)],
        )
        owner.execute(
            "insert into feeds (feed, tried_at, ok_at, error, entries, skipped) values"
            " ('blog.example/feed', now(), now() - interval '65 s', null, 12, 1),"
            " ('new.example/', null, null, null, 0, 0),"
            " ('bad.example/', now(), null, 'HTTP status 404', 0, 0)"
        )
        owner.execute(
            "insert into annotations (begins_at, ends_at, kind, site, text) values"
            " (%(a)s, null, 'deploy', null, 'Deployed 1'), (%(b)s, %(a)s, 'note', %(shop)s, 'a < b'),"
            " (%(c)s, null, 'rules', null, 'of before'), (%(c)s, %(b)s, 'note', null, 'began before')",
            {"a": NOW - 2 * DAY, "b": NOW - 3 * DAY, "c": NOW - 30 * DAY, "shop": SHOP},
        )
        yield database


def post(site: str, path: str, at: datetime.datetime, title: str = "Post") -> Post:
    return Post(site, site, path, f"{title} {path}".strip(), f"https://{site}{path}?from=feed", at)


def hit(path: str, at: datetime.datetime, who: int, **differing: Any) -> Any:
    """A hit, its day by the reporting time zone."""
    return make_hit(
        site=BLOG, host=BLOG, path=path, received_at=at, day=at.astimezone(ZONE).date(),
        session_id=uuid.UUID(int=who), **differing,
    )  # fmt: skip


def run(database: Database, name: str, sites: list[str] | None = None) -> tuple[list[str], list[Any]]:
    """Columns and rows, over the last ten days."""
    sql = expand(
        (SQL / name).read_text(),
        {"site": variable_value(SITE, sites or [ALL])},
        NOW - 10.5 * DAY,
        NOW,
    )
    with database.connect("grafana_reader") as reader:
        cursor = reader.execute(sql.replace("%", "%%").encode(), [])
        assert cursor.description
        return [column.name for column in cursor.description], cursor.fetchall()


COLUMNS = [
    "title",
    "page_address",
    "host",
    "path",
    "published",
    "pageviews_24h",
    "pageviews_7d",
    "pageviews",
    "visitors",
]


def test_the_ten_newest_posts_have_their_first_hours_and_all_days(posted: Database) -> None:
    columns, rows = run(posted, "overview/recent_posts.sql")
    assert columns == COLUMNS
    paths = [row[3] for row in rows]
    assert paths == ["/0", "/1", "/2", "/sale", "/3", "/4", "/5", "/6", "/7", "/8"]
    assert [row[5:] for row in rows if row[3] == "/2"] == [(0, 2, 2, 1)]
    assert rows[0][:2] == ("Post /0", "https://blog.example/0?from=feed")
    assert all(None not in row and "" not in row for row in rows)
    # A second before, then three within 24 h, two more within 7 days, and one after them.
    [row] = [row for row in run(posted, "overview/recent_posts.sql", [BLOG])[1] if row[3] == "/9"]
    published_on = (NOW - 9 * DAY).astimezone(ZONE).date()
    since = sum(at.astimezone(ZONE).date() >= published_on for at in READ)
    assert row[4:] == (str(published_on), 3, 5, since, since)


def test_a_site_shows_its_own_posts(posted: Database) -> None:
    _, rows = run(posted, "overview/recent_posts.sql", [SHOP])
    assert [row[0] for row in rows] == ['A & <b> "B" /sale']
    assert len(run(posted, "overview/recent_posts.sql", [BLOG, SHOP])[1]) == 10


def test_posts_on_the_curves_are_text(posted: Database) -> None:
    columns, rows = run(posted, "annotations/posts.sql")
    assert columns == ["time", "text", "tags"]
    assert len(rows) == 12
    assert [row for row in rows if row[0] == NOW - 2.5 * DAY] == [
        (NOW - 2.5 * DAY, 'published: A &amp; &lt;b&gt; "B" /sale', "post")
    ]
    assert len(run(posted, "annotations/posts.sql", [SHOP])[1]) == 1


def test_notes_that_touch_the_range_are_on_the_curves(posted: Database) -> None:
    columns, rows = run(posted, "annotations/notes.sql")
    assert columns == ["time", "timeend", "text", "tags"]
    assert [row[1:] for row in rows] == [
        (NOW - 3 * DAY, "began before", "note"), (NOW - 2 * DAY, "a &lt; b", "note"), (None, "Deployed 1", "deploy"),
    ]  # fmt: skip
    assert [row[2] for row in run(posted, "annotations/notes.sql", [BLOG])[1]] == [
        "began before",
        "Deployed 1",
    ]


def test_feeds_that_fail_come_first(posted: Database) -> None:
    columns, rows = run(posted, "pipeline/feeds.sql")
    assert columns == ["feed", "last_ok", "posts", "skipped", "error"]
    assert rows[0] == ("bad.example/", "never", 0, 0, "HTTP status 404")
    assert (rows[1][0], rows[1][2:]) == ("blog.example/feed", (11, 1, "–"))
    assert rows[1][1].startswith("00:01:0")
    assert rows[2] == ("new.example/", "never", 0, 0, "not asked yet")


@pytest.mark.parametrize(
    "name",
    ["overview/recent_posts.sql", "annotations/posts.sql", "annotations/notes.sql", "pipeline/feeds.sql"],
)
def test_nothing_is_shown_while_there_is_nothing(empty: Database, name: str) -> None:
    assert run(empty, name)[1] == []
