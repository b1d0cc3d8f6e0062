"""Numbers of pages, titles, origins and clients: one for the same texts, whoever asks, and marked with the day."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from services.database import connect
from services.enricher import numbers
from services.enricher.numbers import PAGES, TABLES, Numbers
from services.hit import Hit
from services.settings import Settings
from tests.conftest import Database
from tests.make import NOW, make_hit
from tests.strategies import examples, row_lists

pytestmark = pytest.mark.servers
DAY = NOW.date()
LATER = DAY + datetime.timedelta(days=1)


@pytest.fixture
def database(emptied_database: Database) -> Database:
    """One database for these tests, emptied before each."""
    return emptied_database


@pytest.fixture
def connection(settings: Settings) -> Iterator[psycopg.Connection[Any]]:
    with connect(settings, "enricher") as made:
        yield made


def rows(*hits: Hit) -> list[Any]:
    return [msgspec.structs.astuple(hit) for hit in hits]


@given(hits=row_lists)
@hypothesis_settings(max_examples=examples(20))
def test_hits_have_the_same_number_where_they_have_the_same_texts(
    connection: psycopg.Connection[Any], hits: list[Hit]
) -> None:
    found = Numbers(connection).of(rows(*hits))
    for hit, (site, page, title, origin, client) in zip(hits, found, strict=True):
        stored = connection.execute(
            """
            select s.site, p.host, p.path, (select t.title from titles t where title_id = %s),
                   r.source, r.referrer, o.source, o.source_detail, o.channel, o.utm_source, o.utm_campaign,
                   c.country, c.browser, c.language, c.bot_name, c.bot_class, c.subscribers
            from sites s, pages p, origins o join referrers r using (referrer_id), clients c
            where s.site_id = %s and p.page_id = %s and p.site_id = s.site_id and origin_id = %s and client_id = %s
            """,
            [title, site, page, origin, client],
        ).fetchall()
        assert stored == [
            (
                hit.site, hit.host, hit.path, hit.title, hit.source, hit.referrer, hit.source, hit.source_detail,
                hit.channel, hit.utm_source, hit.utm_campaign, hit.country, hit.browser, hit.language, hit.bot_name,
                hit.bot_class, hit.subscribers,
            )
        ]  # fmt: skip
    assert Numbers(connection).of(rows(*hits)) == found
    connection.rollback()


def test_texts_that_differ_in_nothing_but_null_or_borders_are_two(
    connection: psycopg.Connection[Any],
) -> None:
    hits = [
        make_hit(source="NULL", referrer=None),
        make_hit(source=None, referrer="NULL"),
        make_hit(source=None, referrer=None),
        make_hit(source="a,b", referrer="c"),
        make_hit(source="a", referrer="b,c"),
        make_hit(source='"', referrer="\\"),
        make_hit(source="\\", referrer='"'),
    ]
    found = Numbers(connection).of(rows(*hits))
    assert len({origin for *_, origin, _ in found}) == len(hits)


def marks(connection: psycopg.Connection[Any]) -> dict[str, set[datetime.date]]:
    with connection.transaction():
        return {
            table.name: {row[0] for row in connection.execute(f"select used_on from {table.name}")}
            for table in TABLES
        }


def test_a_number_is_marked_with_the_newest_day_that_has_it(connection: psycopg.Connection[Any]) -> None:
    known = Numbers(connection)
    hit = make_hit(title="T", referrer="https://x.example/")
    known.of(rows(hit))
    assert marks(connection) == {table.name: {DAY} for table in TABLES}
    known.of(rows(msgspec.structs.replace(hit, day=LATER)))
    assert marks(connection) == {table.name: {LATER} for table in TABLES}
    known.of(rows(hit))
    Numbers(connection).of(rows(hit))
    assert marks(connection) == {table.name: {LATER} for table in TABLES}, "a late hit does not make it older"


def test_what_is_known_uses_no_number_up(connection: psycopg.Connection[Any], database: Database) -> None:
    for day in range(20):
        Numbers(connection).of(rows(make_hit(title="T", day=DAY + datetime.timedelta(days=day))))
    found = Numbers(connection).of(rows(make_hit(title="U", path="/b", browser="X", referrer="r")))
    with database.connect() as owner:
        used = owner.execute("select last_value from titles_title_id_seq").fetchone()
    assert used
    assert used[0] <= found[0][2]


def test_two_enrichers_at_midnight_agree(settings: Settings, database: Database) -> None:
    hits = [make_hit(path=f"/{n}", title=f"T{n}", browser=f"B{n}", referrer=f"r{n}") for n in range(300)]
    with connect(settings, "enricher") as first:
        Numbers(first).of(rows(*hits[:150]))
    later = [msgspec.structs.replace(hit, day=LATER) for hit in hits]
    found: list[Any] = [None, None]
    problems: list[BaseException] = []

    def work(place: int) -> None:
        order = later if place else later[::-1]
        try:
            with connect(settings, "enricher") as connection:
                numbered = Numbers(connection).of(rows(*order))
            found[place] = numbered if place else numbered[::-1]
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert found[0] == found[1]
    with database.connect() as eye:
        assert eye.execute("select count(*), count(distinct title) from titles").fetchone() == (300, 300)


def test_a_cache_that_is_full_starts_again(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers, "CACHE_ROWS", 10)
    known = Numbers(connection)
    hits = [make_hit(path=f"/{n}", title=f"T{n}") for n in range(40)]
    one_by_one = [known.of(rows(hit))[0] for hit in hits]
    assert known.of(rows(*hits)) == one_by_one
    assert len(known._known[PAGES]) <= 50


@pytest.mark.parametrize("text", ["nul \0", "half \ud83d"])
def test_a_text_that_postgresql_refuses_fails_and_the_next_one_goes_on(
    connection: psycopg.Connection[Any], text: str
) -> None:
    known = Numbers(connection)
    with pytest.raises((psycopg.DataError, UnicodeEncodeError)):
        known.of(rows(make_hit(title=text)))
    assert len(known.of(rows(make_hit(title="T")))) == 1
    assert known.of(rows(make_hit(title="T"))) == Numbers(connection).of(rows(make_hit(title="T")))
