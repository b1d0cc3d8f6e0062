"""Sessions, entry and exit pages equal their plain definition, whatever is stored, refreshed, counted and killed."""

from __future__ import annotations

import datetime
import threading
import time
import uuid
from collections import Counter
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.hit import Hit
from services.metrics import RollupMetrics
from services.rollup import compare, sessions
from services.rollup.refresh import refresh
from services.rollup.sessions import Pace, count_sessions, oldest_mark_age_s, snapshot
from tests.make import NOW, make_hit
from tests.services.rollup.conftest import Parts
from tests.services.rollup.definition import EMPTY, differences, put
from tests.strategies import examples, row_lists
from tools.servers import poll

pytestmark = pytest.mark.servers
DAY = NOW.date()

# Written from the definition, over the view that people read.
OF_A_SESSION = """
    with pageviews as (
        select site, day, session_id, host, path, received_at, hit_id from hits
        where event = 'pageview' and not is_bot and not is_me and session_id is not null
    ),
    of_session as (
        select site, day, session_id, count(*) as pageviews,
               (select (p.host, p.path)::text from pageviews p
                where p.site = s.site and p.day = s.day and p.session_id = s.session_id
                order by p.received_at, p.hit_id limit 1) as entry,
               (select (p.host, p.path)::text from pageviews p
                where p.site = s.site and p.day = s.day and p.session_id = s.session_id
                order by p.received_at desc, p.hit_id desc limit 1) as exit
        from pageviews s group by site, day, session_id
    )
"""
SESSIONS = {
    "select site, day, sessions, single_page_sessions from daily_sessions":
        "select site, day, count(*), count(*) filter (where pageviews = 1) from of_session group by 1, 2",
    "select site, day, (host, path)::text, sessions, single_page_sessions from daily_entries":
        "select site, day, entry, count(*), count(*) filter (where pageviews = 1) from of_session group by 1, 2, 3",
    "select site, day, (host, path)::text, sessions from daily_exits":
        "select site, day, exit, count(*) from of_session group by 1, 2, 3",
}  # fmt: skip


def session_differences(connection: Any) -> dict[str, Any]:
    """Rows that a view has and the definition has not, and the other way round; empty: they are equal."""
    found = {}
    for view, definition in SESSIONS.items():
        counted = Counter(connection.execute(view).fetchall())
        defined = Counter(connection.execute(OF_A_SESSION + definition).fetchall())
        if counted != defined:
            found[view] = {"too much": counted - defined, "missing": defined - counted}
    return found


def count_all(parts: Parts) -> None:
    parts.refresh_all()
    assert count_sessions(parts.refresher) is not None
    assert parts.rows("select count(*) from sessions_pending") == [(0,)]


class Broken(Exception):
    """A count that ends in the middle."""


# Any hits, in any order and batches ---------------------------------------------------------------------------------

# After each batch: refreshes of so many hits, counts, and counts that are cut off at a statement.
steps = st.lists(st.sampled_from(["refresh 1", "refresh 4", "refresh 20000", "count", "kill"]), max_size=4)
plans = st.lists(st.tuples(st.integers(1, 12), steps), max_size=8)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati"])
@given(hits=row_lists, plan=plans, chance=st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=examples(40))
def test_they_equal_the_plain_definition(
    parts: Parts, zone: str, hits: list[Hit], plan: list[tuple[int, list[str]]], chance: Any
) -> None:
    parts.eye.execute(EMPTY)
    parts.eye.execute("update installation set report_timezone = %s", [zone])
    rest = list(hits)
    for size, actions in plan:
        batch, rest = rest[:size], rest[size:]
        if batch:
            put(parts.store, *batch)
        for action in actions:
            name, _, number = action.partition(" ")
            if name == "refresh":
                refresh(parts.refresher, int(number))
            elif name == "kill":
                _count_and_break(parts, chance.randrange(5))
            else:
                count_sessions(parts.refresher)
        if parts.waiting() == 0 and "count" in actions[-1:]:
            assert session_differences(parts.eye) == {}
    if rest:
        put(parts.store, *rest)
    count_all(parts)
    assert session_differences(parts.eye) == {}
    for day in {hit.day for hit in hits}:
        assert wrong_tables(parts, day) == []


def wrong_tables(parts: Parts, day: datetime.date) -> list[str]:
    """As whoever drops a day would find them."""
    compare.prepare(parts.refresher)
    with snapshot(parts.refresher):
        compare.load(parts.refresher, day)
        return compare.wrong_tables(parts.refresher, day)


def _count_and_break(parts: Parts, statements: int) -> None:
    """Count with a connection of its own that is lost after so many statements of the first day's transaction."""
    connection = parts.make_refresher()
    with connection.transaction():
        row = connection.execute(sessions.MARKED_DAYS).fetchone()
    if row is None:
        return
    with snapshot(connection):
        parameters = {"day": row[0], "sites": [r[0] for r in connection.execute("select site_id from sites")]}
        todo = [sessions.GATHER_SESSIONS, *(sessions.settle_statement(table) for table in sessions.TABLES)]
        for statement in [*todo, "delete from sessions_pending where day = %(day)s"][:statements]:
            connection.execute(statement, parameters)
        connection.close()


# Single rules -------------------------------------------------------------------------------------------------------


def view(minute: int, path: str, session: int = 1, **differing: Any) -> Hit:
    return make_hit(
        path=path, received_at=NOW.replace(minute=minute), session_id=uuid.UUID(int=session), **differing
    )


def test_a_session_enters_at_its_first_page_and_leaves_at_its_last(parts: Parts) -> None:
    put(
        parts.store,
        view(3, "/c"),
        view(1, "/a"),
        view(2, "/b"),
        view(1, "/a", session=2),
        make_hit(path="/none"),
    )
    count_all(parts)
    assert parts.rows("select sessions, single_page_sessions from daily_sessions") == [(2, 1)]
    assert parts.rows("select path, sessions, single_page_sessions from daily_entries") == [("/a", 2, 1)]
    assert parts.rows("select path, sessions from daily_exits order by 1") == [("/a", 1), ("/c", 1)]
    assert session_differences(parts.eye) == {}


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_at_the_same_time_the_smaller_id_is_first(parts: Parts, order: tuple[int, int]) -> None:
    for number in order:
        put(parts.store, view(1, f"/{number}", id=number))
    count_all(parts)
    assert parts.rows("select path from daily_entries") == [("/1",)]
    assert parts.rows("select path from daily_exits") == [("/2",)]


def test_an_earlier_hit_that_comes_late_moves_the_entry_page(parts: Parts) -> None:
    put(parts.store, view(5, "/b"))
    count_all(parts)
    put(parts.store, view(1, "/a"))
    count_all(parts)
    assert parts.rows("select path, sessions, single_page_sessions from daily_entries") == [("/a", 1, 0)]
    assert session_differences(parts.eye) == {}


def test_hits_that_are_stored_and_not_counted_belong_to_no_session_yet(parts: Parts) -> None:
    put(parts.store, view(1, "/a"))
    parts.refresh_all()
    put(parts.store, view(2, "/b"))
    assert count_sessions(parts.refresher) == 1
    assert parts.rows("select path, sessions from daily_exits") == [("/a", 1)]
    count_all(parts)
    assert parts.rows("select path, sessions from daily_exits") == [("/b", 1)]


def test_what_is_right_is_not_written_again(parts: Parts) -> None:
    put(parts.store, view(1, "/a"), view(2, "/b"), view(1, "/a", session=2))
    count_all(parts)
    rows = "select xmin, ctid, * from rollup_{} order by day, site_id"
    before = [parts.rows(rows.format(name)) for name in ("sessions", "entries", "exits")]
    parts.eye.execute("insert into sessions_pending (site_id, day) select site_id, %s from sites", [DAY])
    count_all(parts)
    assert [parts.rows(rows.format(name)) for name in ("sessions", "entries", "exits")] == before


def test_the_sessions_of_a_day_whose_raw_hits_are_gone_stay(parts: Parts) -> None:
    put(parts.store, view(1, "/a"))
    count_all(parts)
    parts.eye.execute(f"drop table hits_days.d{DAY:%Y%m%d}")
    parts.eye.execute("insert into sessions_pending (site_id, day) select site_id, %s from sites", [DAY])
    count_all(parts)
    assert parts.rows("select path, sessions from daily_exits") == [("/a", 1)]


@pytest.mark.parametrize("number", range(3))
def test_a_wrong_row_is_found(parts: Parts, number: int) -> None:
    put(parts.store, view(1, "/a"), view(2, "/b"))
    count_all(parts)
    table = sessions.TABLES[number].name
    for change in (f"update {table} set sessions = sessions + 1", f"delete from {table}"):
        parts.eye.execute(change)  # type: ignore[call-overload]
        assert wrong_tables(parts, DAY) == [table]


# At once, and crashes -----------------------------------------------------------------------------------------------


def test_a_mark_that_comes_while_the_day_is_counted_stays(parts: Parts) -> None:
    """A refresh does not wait for the count, and the count does not take what it has not seen."""
    put(parts.store, view(1, "/a"))
    parts.refresh_all()
    with parts.database.connect() as other, other.transaction():
        other.execute("lock table rollup_exits in share mode")  # the count stops before its last table
        counter = parts.make_refresher()
        thread = threading.Thread(target=count_sessions, args=(counter,))
        thread.start()
        waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%rollup_exits%'"
        assert poll(lambda: parts.rows(waits + " and datname = current_database()") == [(1,)], 10)
        put(parts.store, view(2, "/b"))
        assert refresh(parts.refresher) == 1
        assert differences(parts.eye) == {}
    thread.join(10)
    assert parts.rows("select path from daily_exits") == [("/a",)]
    assert parts.rows("select count(*) from sessions_pending") == [(1,)]
    count_all(parts)
    assert session_differences(parts.eye) == {}


def test_a_count_that_is_killed_leaves_nothing_half_done(parts: Parts) -> None:
    put(parts.store, view(1, "/a"))
    count_all(parts)
    put(parts.store, view(2, "/b"))
    parts.refresh_all()
    counter = parts.make_refresher()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            count_sessions(counter)
        except psycopg.OperationalError as error:
            errors.append(error)

    pid = counter.info.backend_pid
    with parts.database.connect() as other, other.transaction():
        other.execute("lock table rollup_exits in share mode")
        thread = threading.Thread(target=run)
        thread.start()
        sql = f"select pid from pg_stat_activity where pid = {pid} and wait_event_type = 'Lock'"
        assert poll(lambda: parts.rows(sql) != [], 10)
        assert count_sessions(parts.refresher) is None, "another counts"
        parts.eye.execute("select pg_terminate_backend(%s, 5000)", [pid])
        thread.join(10)
    assert len(errors) == 1
    assert parts.rows("select sessions, single_page_sessions from daily_sessions") == [(1, 1)]
    count_all(parts)
    assert session_differences(parts.eye) == {}


def test_counters_refreshers_and_enrichers_at_once(parts: Parts) -> None:
    workers = [(count_sessions, parts.make_refresher()), (count_sessions, parts.make_refresher()),
               (refresh, parts.make_refresher())]  # fmt: skip
    stopped = threading.Event()
    problems: list[BaseException] = []

    def go_on(work: Any, connection: Any) -> None:
        try:
            while not stopped.is_set():
                work(connection)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=go_on, args=worker) for worker in workers]
    for thread in threads:
        thread.start()
    for number in range(150):
        put(
            parts.store,
            *(view((number * 7 + n) % 60, f"/{n}", session=(number + n) % 9 + 1) for n in range(4)),
        )
    assert poll(lambda: parts.waiting() == 0, 20)
    stopped.set()
    for thread in threads:
        thread.join(20)
    assert problems == []
    count_all(parts)
    assert session_differences(parts.eye) == {}
    assert parts.rows("select sessions from daily_sessions") == [(9,)]


# Order and pace -----------------------------------------------------------------------------------------------------


def test_today_comes_first_then_who_has_waited_longest(parts: Parts) -> None:
    today = datetime.datetime.now(datetime.UTC).date()
    marks = [(3, 50), (2, 90), (0, 1), (40, 90), (41, 100)]  # days ago, seconds that the mark has waited
    for days, waited_s in marks:
        parts.eye.execute(
            "insert into sessions_pending (site_id, day, marked_at)"
            " values (1, %s, now() - make_interval(secs => %s))",
            [today - datetime.timedelta(days=days), waited_s],
        )
    # Marks of one statement have waited equally long.
    parts.eye.execute("update sessions_pending set marked_at = now() - interval '90 s' where day in (%s, %s)",
                      [today - datetime.timedelta(days=2), today - datetime.timedelta(days=40)])  # fmt: skip
    days = [(today - row[0]).days for row in parts.eye.execute(sessions.MARKED_DAYS)]
    assert days == [0, 41, 2, 40, 3]


def test_a_run_ends_in_time_but_does_two_days_at_least(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    for days in range(4):
        put(parts.store, make_hit(day=DAY - datetime.timedelta(days=days), session_id=uuid.UUID(int=1)))
    parts.refresh_all()
    monkeypatch.setattr(sessions, "RUN_FOR_S", 0.0)
    assert count_sessions(parts.refresher) == 2
    assert count_sessions(parts.refresher) == 2
    assert count_sessions(parts.refresher) == 0
    assert session_differences(parts.eye) == {}


@pytest.mark.parametrize(
    ("took_s", "next_s"), [(0.0, 60.0), (1.0, 60.0), (3.0, 60.0), (6.0, 120.0), (60.0, 1_200.0)]
)
def test_counting_takes_a_twentieth_of_the_time_at_most(took_s: float, next_s: float) -> None:
    pace = Pace()
    assert pace.is_due(0.0)
    pace.ran(100.0, 100.0 + took_s)
    assert not pace.is_due(100.0 + next_s - 0.1)
    assert pace.is_due(100.0 + next_s)


def test_a_count_that_fails_is_tried_again_when_the_schedule_says_so(parts: Parts) -> None:
    pace, metrics = Pace(), RollupMetrics()
    put(parts.store, view(1, "/a"))
    parts.refresh_all()
    lost = parts.make_refresher()
    lost.close()
    with pytest.raises(psycopg.OperationalError):
        pace.count(lost, metrics)
    assert pace.is_due(time.monotonic())
    pace.count(parts.refresher, metrics)
    assert not pace.is_due(time.monotonic())
    assert metrics.registry.get_sample_value("footfall_rollup_sessions_seconds_count") == 1
    assert parts.rows("select sessions from daily_sessions") == [(1,)]


def test_how_long_the_oldest_mark_waits_is_told(parts: Parts) -> None:
    assert oldest_mark_age_s(parts.eye) == 0
    parts.eye.execute(
        "insert into sessions_pending (site_id, day, marked_at) values (1, %s, now() - interval '90 s')",
        [DAY],
    )
    assert 90 <= oldest_mark_age_s(parts.eye) < 120
