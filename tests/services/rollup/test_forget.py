"""What only hits had that are gone is forgotten, and nothing that a hit or a rollup has, whoever stores meanwhile."""

from __future__ import annotations

import datetime
import threading
import time
import uuid
from typing import Any

import pytest
from msgspec.structs import astuple

from services.enricher.numbers import Numbers
from services.hit import Hit
from services.rollup import forget, upkeep
from services.rollup.forget import NUMBERED, forget_unused
from services.rollup.sessions import count_sessions
from services.rollup.upkeep import drop_expired, first_day_to_keep
from services.rollups import ROLLUPS
from tests.services.rollup.conftest import Parts
from tests.services.rollup.definition import differences, put
from tests.services.rollup.test_days import day_ago, hit_of
from tests.services.rollup.test_sessions import session_differences
from tools.servers import poll

pytestmark = pytest.mark.servers
RETENTION_DAYS = 30
OLD, KEPT = 40, 10  # days ago


@pytest.fixture(autouse=True)
def no_days(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "GRACE", datetime.timedelta(0))
    for (name,) in parts.rows("select relname from pg_class where relnamespace = 'hits_days'::regnamespace"
                              " and relkind = 'r'"):  # fmt: skip
        parts.eye.execute(f"drop table hits_days.{name}")


def tidy(parts: Parts) -> dict[str, int]:
    """Count, drop, forget; how many rows."""
    parts.refresh_all()
    count_sessions(parts.refresher)
    drop_expired(parts.refresher, RETENTION_DAYS)
    return forget_unused(parts.refresher, first_day_to_keep(parts.refresher, RETENTION_DAYS))


def texts(parts: Parts) -> str:
    """All that stands in any table, as text."""
    tables = parts.rows(
        "select oid::regclass::text from pg_class where relkind = 'r'"
        " and relnamespace in ('public'::regnamespace, 'hits_days'::regnamespace)"
    )
    return "\n".join(str(row[0]) for (name,) in tables for row in parts.rows(f"select t::text from {name} t"))


# What goes and what stays -------------------------------------------------------------------------------------------

GOES = (
    "old-title", "the-query", "its-term", "its-content", "its-tag", "0x0-screen", "zz-language",
    "https://bots.example/", "bots-title", "/owners-path", "/events-path",
    "https://blog.example/internal",
)  # fmt: skip
STAYS = (
    "current-title",
    "/peoples-path",
    "/bots-path",
    "https://peoples.example/",
    "spring-campaign",
    "people's source",
)


def hits_with_texts(day: datetime.date) -> list[Hit]:
    rare = {
        "query": "ref=the-query",
        "utm_term": "its-term",
        "utm_content": "its-content",
        "link_tag": "its-tag",
    }
    human = {"path": "/peoples-path", "referrer": "https://peoples.example/", "source": "people's source",
             "session_id": uuid.UUID(int=5), "channel": "Referral", "utm_campaign": "spring-campaign"}  # fmt: skip
    later = datetime.datetime.combine(day, datetime.time(13), datetime.UTC)
    return [
        hit_of(day, title="old-title", **rare, **human),
        hit_of(day, title="current-title", received_at=later, **human),
        hit_of(day, is_bot=True, path="/bots-path", referrer="https://bots.example/", source="bots.example",
               title="bots-title", screen="0x0-screen", language="zz-language"),
        hit_of(day, is_me=True, path="/owners-path"),
        hit_of(day, event="signup", path="/events-path"),
        hit_of(day, referrer="https://blog.example/internal"),
    ]  # fmt: skip


def test_a_text_outlives_its_hit_only_where_a_rollup_shows_it(parts: Parts) -> None:
    put(parts.store, *hits_with_texts(day_ago(OLD)))
    put(parts.store, *hits_with_texts(day_ago(KEPT)))
    tidy(parts)
    assert [text for text in (*GOES, *STAYS) if text not in texts(parts)] == [], (
        "the later day has them still"
    )
    parts.eye.execute(f"drop table hits_days.d{day_ago(KEPT):%Y%m%d}")  # its time goes by
    views = {
        name: parts.rows(f"select * from {name}")
        for name in ("daily_pages", "daily_referrals", "daily_exits")
    }
    forgotten = forget_unused(parts.refresher, day_ago(KEPT - 1))
    left = texts(parts)
    assert [text for text in GOES if text in left] == []
    assert [text for text in STAYS if text not in left] == []
    assert forgotten == {"origins": 5, "clients": 2, "titles": 2, "referrers": 3, "pages": 2}
    assert {name: parts.rows(f"select * from {name}") for name in views} == views


def test_what_a_rollup_names_stays(parts: Parts) -> None:
    """Each rollup alone, of those with pages or referrers; the list is that of the rollups."""
    named = [(table, name) for table in NUMBERED for name in table.named_by]
    assert {name for table, name in named if name.startswith("rollup_")} >= {
        f"rollup_{rollup.name}" for rollup in ROLLUPS if {"page_id", "referrer_id"} & set(rollup.dimensions)
    }
    columns = parts.rows(
        "select table_name || '.' || column_name from information_schema.columns where table_schema = 'public'"
        " and column_name in ('page_id', 'referrer_id', 'title_id', 'origin_id', 'client_id')"
        " and table_name in (select relname from pg_class where relkind = 'r') and is_identity = 'NO'"
    )
    assert {f"{name}.{table.number}" for table, name in named} == {row[0] for row in columns}


def test_what_a_day_has_that_is_kept_too_long_stays(parts: Parts) -> None:
    """As its rollups were not proven."""
    put(parts.store, *hits_with_texts(day_ago(OLD)))
    parts.refresh_all()
    parts.eye.execute("update rollup_pages set pageviews = 7")
    assert set(tidy(parts).values()) == {0}
    assert [text for text in (*GOES, *STAYS) if text not in texts(parts)] == []


def test_all_is_forgotten_in_batches(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forget, "BATCH", 3)
    monkeypatch.setattr(forget, "LOOK_ROWS", 10)
    put(parts.store, *(hit_of(day_ago(OLD), title=f"T{n}", path=f"/{n}", is_me=True) for n in range(25)))
    forgotten = tidy(parts)
    assert (forgotten["titles"], forgotten["pages"]) == (25, 25)
    assert parts.rows("select count(*) from titles") == [(0,)]


def test_what_is_forgotten_may_come_again(parts: Parts) -> None:
    """With another number, also for an enricher that remembers the old one."""
    for number in (OLD, KEPT, KEPT - 1):
        put(parts.store, hit_of(day_ago(number), title="Again", query="ref=again"))
        tidy(parts)
    assert parts.rows("select distinct title, query from hits") == [("Again", "ref=again")]


# At once ------------------------------------------------------------------------------------------------------------


def complete(parts: Parts) -> list[Any]:
    """Hits that lack a part that they were stored with."""
    return parts.rows(
        "select hit_id from hits where site is null or path is null or title is null or channel is null"
        " or referrer is null or browser is null"
    )


def test_a_row_that_is_being_marked_as_used_is_passed_over(parts: Parts) -> None:
    put(parts.store, *(hit_of(day_ago(OLD), title=title, is_bot=True) for title in ("Used again", "Unused")))
    parts.refresh_all()
    drop_expired(parts.refresher, RETENTION_DAYS)
    with parts.database.connect() as other, other.transaction():
        other.execute("update titles set used_on = %s where title = 'Used again'", [day_ago(0)])
        assert tidy(parts)["titles"] == 1
    assert tidy(parts)["titles"] == 0
    assert parts.rows("select title from titles") == [("Used again",)]


def test_a_day_older_than_all_that_is_being_opened_is_waited_for(parts: Parts) -> None:
    """An enricher opens its hits' days before it numbers them: what they may have is not forgotten between."""
    Numbers(parts.refresher).of([astuple(hit_of(day_ago(OLD), title="Of the old day"))])
    found: list[dict[str, int]] = []
    thread = threading.Thread(
        target=lambda: found.append(forget_unused(parts.refresher, day_ago(RETENTION_DAYS)))
    )
    with parts.database.connect() as opener:
        with opener.transaction():
            opener.execute("select open_hits_day(%s)", [day_ago(OLD)])
            thread.start()
            waits = f"select count(*) from pg_locks where not granted and pid = {parts.refresher.info.backend_pid}"
            assert poll(lambda: parts.rows(waits) == [(1,)], 10)
        thread.join(10)
    assert [sum(forgotten.values()) for forgotten in found] == [0]


def text_hits(day: datetime.date, batch: int) -> list[Hit]:
    """Hits with the same texts on any day, a few parts each."""
    return [
        hit_of(day, title=f"T{(batch + n) % 9}", path=f"/{(batch + n) % 7}", referrer=f"https://x.example/{n % 5}",
               source="x.example", channel="Referral", browser=f"B{n % 4}", is_bot=n % 2 == 0)
        for n in range(12)
    ]  # fmt: skip


@pytest.mark.parametrize(
    "number", [KEPT, OLD], ids=["hits of a kept day", "hits that are older than all kept days"]
)
def test_nothing_is_forgotten_that_an_enricher_stores_right_then(parts: Parts, number: int) -> None:
    """Two enrichers number texts whose rows are old, while they are being forgotten."""
    rounds = 25
    problems: list[BaseException] = []
    deleted: list[int] = []
    together = threading.Barrier(3, timeout=60)
    first_kept = day_ago(RETENTION_DAYS)
    leaf = f"hits_days.d{day_ago(number):%Y%m%d}"

    def store_all(seed: int) -> None:
        for place in range(rounds):
            store = parts.make_store()  # that remembers nothing
            together.wait()
            time.sleep((place + seed) % 7 / 1_000)
            put(store, *text_hits(day_ago(number), place))
            together.wait()
            store._connection.close()

    def forget_all(connection: Any) -> None:
        for place in range(rounds):
            # Rows that no hit has, from before all kept days.
            if place:
                problems.extend(complete(parts))
                parts.eye.execute(f"drop table {leaf}")
            parts.eye.execute("update titles set used_on = %s", [day_ago(OLD + 5)])
            for table in NUMBERED:
                parts.eye.execute(f"update {table.name} set used_on = %s", [day_ago(OLD + 5)])
            parts.eye.execute("truncate rollup_titles")
            Numbers(parts.refresher).of([astuple(hit) for hit in text_hits(day_ago(OLD + 5), place)])
            together.wait()
            for _ in range(3):
                deleted.append(sum(forget_unused(connection, first_kept).values()))
            together.wait()

    def guarded(work: Any, argument: Any) -> None:
        try:
            work(argument)
        except BaseException as error:
            problems.append(error)
            together.abort()

    works = [(store_all, 0), (store_all, 3), (forget_all, parts.make_refresher())]
    threads = [threading.Thread(target=guarded, args=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert problems == []
    assert sum(deleted) > rounds, "something was forgotten meanwhile"
    assert parts.rows("select count(*) from hits") == [(24,)]
    assert complete(parts) == []


def test_days_go_by(parts: Parts) -> None:
    """A month of days comes and goes under an enricher that remembers; what is kept is whole and counted."""
    for number in range(60, -1, -3):
        put(parts.store, *text_hits(day_ago(number), number))
        parts.refresh_all()
        count_sessions(parts.refresher)
        drop_expired(parts.refresher, RETENTION_DAYS)
        forget_unused(
            parts.refresher, day_ago(number + 3)
        )  # sooner than the hits go, which keeps their numbers
        assert complete(parts) == []
    tidy(parts)
    assert complete(parts) == []
    parts.eye.execute("delete from rollup_traffic where day < %s", [day_ago(RETENTION_DAYS)])
    assert differences(parts.eye, "daily_traffic") == session_differences(parts.eye) == {}
    assert parts.rows("select count(*) from daily_traffic") == [(11,)]
