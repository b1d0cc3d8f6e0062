"""The views equal a plain GROUP BY over hits, for any order, batching, duplicate, crash and time zone."""

from __future__ import annotations

import datetime
import random
import threading
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.database import connect
from services.enricher.store import Store
from services.hit import Hit
from services.rollup.add import CROWD
from services.rollup.refresh import choose, oldest_pending_age_s, refresh
from services.rollups import REFRESH_LOCK
from services.settings import Settings
from tests.make import NOW, make_hit
from tests.services.rollup.conftest import Parts
from tests.services.rollup.definition import EMPTY, differences, put
from tests.strategies import examples, row_lists
from tools.servers import poll

pytestmark = pytest.mark.servers
DAY = NOW.date()


# Any hits, in any order and batches ---------------------------------------------------------------------------------

# After each batch: how many refreshes, and how many hits each may take.
plans = st.lists(
    st.tuples(st.integers(1, 12), st.lists(st.sampled_from([1, 2, 5, 20, 20_000]), max_size=2)), max_size=8
)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Asia/Kathmandu"])
@given(hits=row_lists, plan=plans, crowd=st.sampled_from([0, 1, 2, CROWD]))
@hypothesis_settings(max_examples=examples(30))
def test_the_views_equal_a_plain_group_by(
    parts: Parts, zone: str, hits: list[Hit], plan: list[tuple[int, list[int]]], crowd: int
) -> None:
    parts.eye.execute(EMPTY)
    parts.eye.execute("update installation set report_timezone = %s", [zone])
    rest = list(hits)
    counted = stored = 0
    for size, refreshes in plan:
        batch, rest = rest[:size], rest[size:]
        stored += put(parts.store, *batch) if batch else 0
        for max_hits in refreshes:
            counted += refresh(parts.refresher, max_hits, crowd) or 0
        if parts.waiting() == 0:
            assert differences(parts.eye) == {}
    stored += put(parts.store, *rest) if rest else 0
    counted += parts.refresh_all(crowd=crowd)
    assert differences(parts.eye) == {}
    assert (counted, parts.waiting()) == (stored, 0)
    assert refresh(parts.refresher) == 0
    assert differences(parts.eye) == {}


@given(hits=row_lists, seed=st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=examples(8))
def test_the_order_of_arrival_changes_nothing(parts: Parts, hits: list[Hit], seed: Any) -> None:
    distinct = list({(hit.site, hit.day, hit.hit_id): hit for hit in hits}.values())
    found = []
    for _ in range(2):
        parts.eye.execute(EMPTY)
        for start in range(0, len(distinct), 4):
            put(parts.store, *distinct[start : start + 4])
            refresh(parts.refresher, 6)
        parts.refresh_all()
        assert differences(parts.eye) == {}
        found.append(
            parts.rows(
                "select site, day, host, path, title, pageviews, visitors from daily_pages order by 1, 2, 3, 4"
            )
        )
        seed.shuffle(distinct)
    assert found[0] == found[1]


# Single rules -------------------------------------------------------------------------------------------------------


def test_a_visitor_counts_once_a_day_and_once_in_each_cell(parts: Parts) -> None:
    session = make_hit().hit_id
    for path in ("/a", "/b", "/a"):
        put(parts.store, make_hit(path=path, session_id=session))
        parts.refresh_all()
    assert parts.rows("select pageviews, visitors from daily_traffic") == [(3, 1)]
    assert parts.rows("select path, pageviews, visitors from daily_pages order by 1") == [
        ("/a", 2, 1),
        ("/b", 1, 1),
    ]


def test_bots_owners_and_events_are_no_pageviews(parts: Parts) -> None:
    put(
        parts.store,
        make_hit(is_bot=True), make_hit(is_me=True), make_hit(is_bot=True, is_me=True, event="signup"),
        make_hit(event="signup"), make_hit(event="invalid"), make_hit(), make_hit(session_id=make_hit().hit_id),
    )  # fmt: skip
    parts.refresh_all()
    sql = "select pageviews, visitors, anonymous_pageviews, bot_hits, owner_hits from daily_traffic"
    assert parts.rows(sql) == [(2, 1, 1, 2, 2)]
    assert differences(parts.eye) == {}


def test_a_session_that_had_events_only_is_a_new_visitor_with_its_first_pageview(parts: Parts) -> None:
    session = make_hit().hit_id
    for differing in ({"event": "signup"}, {"is_me": True}, {}):
        put(parts.store, make_hit(session_id=session, **differing))
        parts.refresh_all()
        assert differences(parts.eye) == {}
    assert parts.rows("select pageviews, visitors from daily_traffic") == [(1, 1)]


def minute(number: int) -> datetime.datetime:
    return NOW.replace(minute=number)


@pytest.mark.parametrize(
    ("hits", "title"),
    [
        ([], None),
        ([(1, 1, "Old"), (2, 2, "New")], "New"),
        ([(2, 1, "New"), (1, 2, "Old")], "New"),  # the newest by time, not by arrival
        ([(1, 2, "Greater id"), (1, 1, "Smaller id")], "Greater id"),
        ([(1, 1, "Smaller id"), (1, 2, "Greater id")], "Greater id"),
        ([(1, 1, "One"), (2, 2, None)], "One"),
    ],
)
@pytest.mark.parametrize("together", [True, False])
def test_the_title_is_that_of_the_newest_pageview_that_has_one(
    parts: Parts, hits: list[tuple[int, int, str | None]], title: str | None, together: bool
) -> None:
    made = [make_hit(id=n, received_at=minute(at), title=text) for at, n, text in hits]
    made += [
        make_hit(id=90, received_at=minute(50), title="A bot's", is_bot=True),
        make_hit(id=91, received_at=minute(50), title="The owner's", is_me=True),
        make_hit(id=92, received_at=minute(50), title="An event's", event="signup"),
        make_hit(id=93, received_at=minute(50), title="Another host's", host="www.blog.example"),
        make_hit(id=94, received_at=minute(0), source="x.example", channel="Referral"),
    ]
    for batch in [made] if together else [[hit] for hit in made]:
        put(parts.store, *batch)
        parts.refresh_all()
    assert parts.rows("select distinct title from daily_pages where host = 'blog.example'") == [(title,)]
    assert parts.rows("select distinct title from daily_referrals") == [(title,)]
    assert differences(parts.eye) == {}


def test_a_title_of_another_day_is_the_page_s_title(parts: Parts) -> None:
    later = datetime.timedelta(days=1)
    put(parts.store, make_hit(title="New", day=DAY + later, received_at=NOW + later))
    parts.refresh_all()
    put(parts.store, make_hit(title="Old"))
    parts.refresh_all()
    assert parts.rows("select distinct title from daily_pages") == [("New",)]


def test_missing_pages_stay_pageviews(parts: Parts) -> None:
    put(
        parts.store,
        make_hit(status=404),
        make_hit(status=410),
        make_hit(status=403),
        make_hit(status=404, is_bot=True),
    )
    parts.refresh_all()
    assert parts.rows("select pageviews from daily_missing") == [(2,)]
    assert parts.rows("select pageviews from daily_traffic") == [(3,)]


def noise(length: int) -> str:
    """Text of four bytes a character that does not compress."""
    chance = random.Random(7)
    return "".join(chr(0x1F300 + chance.randrange(0x300)) for _ in range(length))


def test_the_longest_texts_are_counted(parts: Parts) -> None:
    """A row of an index has 2,704 bytes at most; a path may have 8,192."""
    long = {"path": "/" + noise(2_047), "referrer": noise(2_048), "source": noise(128), "title": noise(512)}
    other = {**long, "path": long["path"][:-1] + "x"}
    for _ in range(2):
        put(parts.store, make_hit(status=404, **long), make_hit(status=404, **other))
        assert parts.refresh_all() == 2
    assert differences(parts.eye) == {}


@pytest.mark.parametrize(
    ("zone", "starts_at"),
    [
        ("UTC", "2026-11-22T00:00+00:00"),
        ("Pacific/Kiritimati", "2026-11-21T10:00+00:00"),
        ("America/New_York", "2026-11-22T05:00+00:00"),
    ],
)
def test_a_day_starts_at_midnight_of_the_reporting_zone(parts: Parts, zone: str, starts_at: str) -> None:
    parts.eye.execute("update installation set report_timezone = %s", [zone])
    put(parts.store, make_hit())
    parts.refresh_all()
    assert parts.rows("select day_starts_at from daily_traffic") == [
        (datetime.datetime.fromisoformat(starts_at),)
    ]
    assert datetime.datetime.fromisoformat(starts_at).astimezone(ZoneInfo(zone)).hour == 0


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("UTC", "2026-10-25", 24),
        ("Europe/Berlin", "2026-10-25", 25),  # the clock goes back
        ("Europe/Berlin", "2026-03-29", 23),
        ("Asia/Kathmandu", "2026-03-29", 24),  # 5:45 ahead
        ("Australia/Lord_Howe", "2026-04-05", 25),  # half an hour back: the last one has 30 minutes
        ("Africa/Cairo", "2026-04-24", 23),  # the day begins at 01:00
    ],
)
def test_a_day_has_as_many_hours_as_it_has(parts: Parts, zone: str, day: str, hours: int) -> None:
    parts.eye.execute("update installation set report_timezone = %s", [zone])
    date, place = datetime.date.fromisoformat(day), ZoneInfo(zone)
    half_hour = datetime.timedelta(minutes=30)
    begins, ends = (
        next(
            at
            for at in (
                datetime.datetime.combine(first, datetime.time(0), datetime.UTC)
                - 15 * 2 * half_hour
                + n * half_hour / 2
                for n in range(200)
            )
            if at.astimezone(place).date() >= first
        )
        for first in (date, date + datetime.timedelta(days=1))
    )
    times = [begins + n * half_hour for n in range((ends - begins) // half_hour)]
    put(parts.store, *(make_hit(day=date, received_at=at, session_id=make_hit().hit_id) for at in times))
    parts.refresh_all()
    rows = parts.rows("select hour_starts_at, pageviews, visitors from hourly_traffic order by 1")
    assert len(rows) == hours
    assert rows[0][0] == begins
    assert {pageviews for _, pageviews, _ in rows[:-1]} == {2}
    assert sum(pageviews for _, pageviews, _ in rows) == len(times)
    assert parts.rows("select day_starts_at, pageviews from daily_traffic") == [(begins, len(times))]


# At once, and crashes -----------------------------------------------------------------------------------------------


def test_two_refreshers_at_once_count_each_hit_once(parts: Parts) -> None:
    refreshers = [parts.make_refresher() for _ in range(2)]
    stopped = threading.Event()
    problems: list[BaseException] = []

    def go_on(connection: psycopg.Connection[Any]) -> None:
        try:
            while not stopped.is_set():
                refresh(connection, 7)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=go_on, args=(connection,)) for connection in refreshers]
    for thread in threads:
        thread.start()
    sessions = [make_hit().hit_id for _ in range(5)]
    for number in range(80):
        put(
            parts.store,
            *(make_hit(path=f"/{n % 3}", session_id=sessions[(number + n) % 5]) for n in range(4)),
        )
    assert poll(lambda: parts.waiting() == 0, 20)
    stopped.set()
    for thread in threads:
        thread.join(10)
    assert problems == []
    assert differences(parts.eye) == {}
    assert parts.rows("select pageviews, visitors from daily_traffic") == [(320, 5)]


def test_while_one_refreshes_another_does_not_wait(parts: Parts) -> None:
    put(parts.store, make_hit())
    with parts.database.connect() as other:
        other.execute("select pg_advisory_lock(%s)", [REFRESH_LOCK])
        assert refresh(parts.refresher) is None
    assert poll(lambda: refresh(parts.refresher) == 1, 5), "the lock ends with its connection"


def test_a_batch_that_commits_late_is_counted_late(parts: Parts, settings: Settings) -> None:
    """It has the smaller number: whoever counts by number alone would pass it over."""
    slow = connect(settings, "enricher")
    store = Store(slow)
    put(parts.store, make_hit(site="warm.example"))  # the day's partition is there
    parts.refresh_all()
    with slow.transaction():
        put(store, make_hit(site="slow.example"))
        put(parts.store, make_hit(site="quick.example"))
        assert parts.refresh_all() == 1
    assert parts.refresh_all() == 1
    slow.close()
    assert differences(parts.eye) == {}


@pytest.mark.parametrize("table", ["rollup_traffic", "rollup_countries", "rollup_titles", "rollup_pending"])
def test_a_refresh_that_is_killed_leaves_nothing_half_done(parts: Parts, table: str) -> None:
    put(parts.store, *(make_hit(path=f"/{n}", title="T", status=404) for n in range(3)))
    refresh(parts.refresher, 1)
    put(parts.store, *(make_hit(path=f"/{n}", title="U", session_id=make_hit().hit_id) for n in range(3)))
    before = {
        name: parts.rows(f"select t.* from {name} t order by t::text") for name in (table, "rollup_pages")
    }
    errors: list[BaseException] = []

    def run() -> None:
        try:
            refresh(parts.refresher)
        except psycopg.OperationalError as error:
            errors.append(error)

    with parts.database.connect() as other, other.transaction():
        other.execute(
            f"lock table {table} in share mode"
        )  # the refresh stops in the middle of its transaction
        thread = threading.Thread(target=run)
        thread.start()
        sql = (
            "select pid from pg_stat_activity where application_name = 'footfall rollup'"
            " and wait_event_type = 'Lock' and datname = current_database()"
        )
        assert poll(lambda: parts.rows(sql) != [], 10)
        parts.eye.execute("select pg_terminate_backend(%s, 5000)", parts.rows(sql)[0])
        thread.join(10)
    assert len(errors) == 1
    assert {name: parts.rows(f"select t.* from {name} t order by t::text") for name in before} == before
    parts.refresher = parts.make_refresher()
    assert parts.refresh_all() == 3
    assert differences(parts.eye) == {}


def test_a_refresh_that_fails_keeps_its_connection_and_lock_in_order(parts: Parts) -> None:
    put(parts.store, make_hit())
    parts.eye.execute("alter table rollup_titles rename to away")
    with pytest.raises(psycopg.errors.UndefinedTable):
        refresh(parts.refresher)
    parts.eye.execute("alter table away rename to rollup_titles")
    assert refresh(parts.make_refresher()) == 1
    assert differences(parts.eye) == {}


# What is taken at once ----------------------------------------------------------------------------------------------

ONE, TWO = datetime.date(2026, 11, 21), datetime.date(2026, 11, 22)


@pytest.mark.parametrize(
    ("pending", "max_hits", "chosen"),
    [
        ([], 10, ([], [], 0)),
        ([(1, ONE, 5)], 10, ([1], [ONE], 5)),
        ([(1, ONE, 50)], 10, ([1], [ONE], 50)),  # at least one
        ([(1, ONE, 5), (2, TWO, 5)], 10, ([1, 2], [ONE, TWO], 10)),
        ([(1, ONE, 5), (2, TWO, 6)], 10, ([1], [ONE], 5)),
        ([(1, ONE, 5), (1, TWO, 50), (2, TWO, 1)], 10, ([1], [ONE, TWO], 55)),  # a batch is taken whole
        ([(1, TWO, 1), (1, ONE, 1), (3, ONE, 1)], 10, ([1, 3], [ONE, TWO], 3)),
        ([(1, ONE, 1), (2, ONE, 20), (3, ONE, 1)], 10, ([1], [ONE], 1)),  # none is passed over
    ],
)
def test_whole_batches_are_taken_from_the_front(pending: Any, max_hits: int, chosen: Any) -> None:
    assert choose(pending, max_hits) == chosen


def test_how_long_the_oldest_waits_is_told(parts: Parts) -> None:
    assert oldest_pending_age_s(parts.eye) == 0
    put(parts.store, make_hit())
    parts.eye.execute("update rollup_pending set stored_at = stored_at - interval '90 s'")
    put(parts.store, make_hit())
    assert 90 <= oldest_pending_age_s(parts.eye) < 120
