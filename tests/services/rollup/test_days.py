"""Days are closed once no hits come, and a hit that comes right then is stored exactly once."""

from __future__ import annotations

import datetime
import threading
import time
from typing import Any

import psycopg
import pytest

from services.database import make_partitions
from services.enricher.booking import DayClosed
from services.enricher.store import Store
from services.hit import Hit
from services.rollup import days
from services.rollup.days import close_days, kept_days
from services.rollup.refresh import refresh
from services.rollup.sessions import count_sessions
from tests.make import make_hit
from tests.services.rollup.conftest import Parts
from tests.services.rollup.definition import differences, put
from tests.services.rollup.test_sessions import session_differences
from tools.servers import poll

pytestmark = pytest.mark.servers


def day_ago(number: int) -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=number)


def hit_of(day: datetime.date, **differing: Any) -> Hit:
    noon = datetime.datetime.combine(day, datetime.time(12), datetime.UTC)
    return make_hit(**({"day": day, "received_at": noon} | differing))


@pytest.fixture(autouse=True)
def no_days(parts: Parts) -> None:
    """The tests share a database, which keeps its partitions."""
    for day in kept_days(parts.refresher):
        parts.eye.execute(f"drop table hits_days.{day.partition}")


def open_days(parts: Parts) -> list[datetime.date]:
    return [day.day for day in kept_days(parts.refresher) if day.is_open]


def test_a_day_is_closed_two_days_after_its_end(parts: Parts) -> None:
    put(parts.store, *(hit_of(day_ago(number)) for number in (0, 1, 2, 3, 4, 399)))
    parts.refresh_all()
    assert close_days(parts.refresher) == [day_ago(399), day_ago(4), day_ago(3)]
    assert open_days(parts) == [day_ago(2), day_ago(1), day_ago(0)]
    assert close_days(parts.refresher) == []


def test_the_planner_knows_how_many_hits_are_a_site_s_once_a_day_is_closed(parts: Parts) -> None:
    put(
        parts.store,
        *(hit_of(day_ago(5), site=site) for site in ("a.example", "b.example") for _ in range(300)),
    )
    parts.refresh_all()
    parts.eye.execute("analyze sites")  # by autovacuum
    parts.eye.execute("delete from pg_statistic where starelid = 'stored_hits'::regclass")
    close_days(parts.refresher)
    (plan,) = parts.rows(
        "explain (format json) select from hits where site = 'a.example' and day <= current_date and host is not null"
    )[0]
    assert plan[0]["Plan"]["Plan Rows"] == pytest.approx(300, abs=30)


def test_the_reporting_zone_says_when_a_day_is_over(parts: Parts) -> None:
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):  # a day apart or two
        parts.eye.execute("update installation set report_timezone = %s", [zone])
        [(today,)] = parts.rows("select (now() at time zone report_timezone)::date from installation")
        last = today - datetime.timedelta(days=3)
        store = parts.make_store()
        for number in (-1, 0, 1):
            put(store, hit_of(last + datetime.timedelta(days=number)))
        parts.refresh_all()
        close_days(parts.refresher)
        assert min(open_days(parts)) == last + datetime.timedelta(days=1)


def test_a_closed_day_has_no_index_and_is_frozen(parts: Parts) -> None:
    put(parts.store, *(hit_of(day_ago(5)) for _ in range(300)))
    parts.refresh_all()
    leaf = f"hits_days.d{day_ago(5):%Y%m%d}"
    [(before,)] = parts.rows(f"select pg_total_relation_size('{leaf}')")
    close_days(parts.refresher)
    assert parts.rows(f"select count(*) from pg_index where indrelid = '{leaf}'::regclass") == [(0,)]
    assert parts.rows(f"select pg_total_relation_size('{leaf}') < 0.7 * {before}") == [(True,)]
    facts = f"select relallvisible = relpages, reltuples from pg_class where oid = '{leaf}'::regclass"
    assert parts.rows(facts) == [(True, 300)]
    assert parts.rows(f"select age(relfrozenxid) < 100 from pg_class where oid = '{leaf}'::regclass") == [
        (True,)
    ]
    assert not parts.refresher.autocommit


def test_a_day_of_which_hits_wait_stays_open(parts: Parts) -> None:
    put(parts.store, hit_of(day_ago(5)))
    assert close_days(parts.refresher) == []
    parts.refresh_all()
    assert close_days(parts.refresher) == [day_ago(5)]


def test_closing_gives_way_to_somebody_who_reads(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(days, "LOCK_TIMEOUT_MS", 50)
    put(parts.store, hit_of(day_ago(5)), hit_of(day_ago(6)))
    parts.refresh_all()
    with parts.database.connect() as reader, reader.transaction():
        reader.execute("select count(*) from hits where day = %s", [day_ago(6)])
        assert close_days(parts.refresher) == [day_ago(5)]
    assert close_days(parts.refresher) == [day_ago(6)]


def test_days_that_a_migration_wrote_are_vacuumed_once(parts: Parts) -> None:
    """They are closed from the beginning; so is a day whose upkeep was killed before it vacuumed."""
    put(parts.store, *(hit_of(day_ago(number)) for number in range(3, 43)))
    parts.refresh_all()
    for number in range(3, 43):
        parts.eye.execute("select close_hits_day(%s)", [day_ago(number)])
    parts.eye.execute("analyze stored_hits")
    assert not any(day.is_vacuumed for day in kept_days(parts.refresher))
    assert close_days(parts.refresher) == []
    assert all(day.is_vacuumed for day in kept_days(parts.refresher))
    vacuumed = (
        "select relname, vacuum_count from pg_stat_all_tables where schemaname = 'hits_days' order by 1"
    )
    before = parts.rows(vacuumed)
    close_days(parts.refresher)
    assert parts.rows(vacuumed) == before


def test_a_new_installation_has_nothing_to_close(parts: Parts) -> None:
    make_partitions(parts.refresher)
    assert close_days(parts.refresher) == []
    assert len(open_days(parts)) == 9


def test_a_refresh_counts_a_day_that_was_closed_and_opened_again(parts: Parts) -> None:
    session = make_hit().hit_id
    for number in range(4):
        put(parts.store, hit_of(day_ago(5), session_id=session, path=f"/{number % 2}"))
        if number % 2:  # closed before they are counted: it lacks the indexes, and is right
            parts.eye.execute("select close_hits_day(%s)", [day_ago(5)])
        assert parts.refresh_all() == 1
        count_sessions(parts.refresher)
        assert differences(parts.eye) == session_differences(parts.eye) == {}
        close_days(parts.refresher)
        with pytest.raises(DayClosed):
            put(parts.store, hit_of(day_ago(5), session_id=session))
    assert parts.rows("select pageviews, visitors from daily_traffic") == [(4, 1)]


# The same hit, while the day is being closed ------------------------------------------------------------------------


def store_until_done(store: Store, hits: list[Hit], refused: list[DayClosed]) -> None:
    """As the enricher does: what is refused comes again."""
    while True:
        try:
            put(store, *hits)
        except DayClosed as error:
            refused.append(error)
        else:
            return


def test_an_enricher_that_knew_the_day_open_stores_no_hit_twice(parts: Parts) -> None:
    other = parts.make_store()
    hit = hit_of(day_ago(5), id=7)
    assert put(parts.store, hit) == put(other, hit_of(day_ago(5))) == 1
    parts.refresh_all()
    assert close_days(parts.refresher) == [day_ago(5)]
    with pytest.raises(DayClosed):
        put(other, hit)
    assert parts.rows("select count(*) from hits") == [(2,)]
    assert put(other, hit) == 0
    assert open_days(parts) == [day_ago(5)]


@pytest.mark.parametrize("is_there", [True, False], ids=["a closed day", "a day without hits"])
def test_two_that_open_a_day_at_once_both_go_on(parts: Parts, is_there: bool) -> None:
    sql = "select open_hits_day(%s)"
    if is_there:
        parts.eye.execute("select make_hits_partition(%s)", [day_ago(5)])
    found: list[Any] = []
    with parts.database.connect() as first, parts.database.connect() as second:

        def open_too() -> None:
            try:
                found.append(second.execute(sql, [day_ago(5)]).fetchone())
            except psycopg.Error as error:
                found.append(error)

        with first.transaction():
            assert first.execute(sql, [day_ago(5)]).fetchone() == (True,)
            thread = threading.Thread(target=open_too)
            thread.start()
            waits = f"select count(*) from pg_locks where not granted and pid = {second.info.backend_pid}"
            assert poll(lambda: parts.rows(waits) == [(1,)], 10)
        thread.join(10)
    assert found == [(False,)]


def test_a_hit_that_two_enrichers_store_while_the_day_is_closed_is_stored_once(parts: Parts) -> None:
    day, rounds, size = day_ago(5), 100, 5
    hits = [[hit_of(day, id=number * size + place) for place in range(size)] for number in range(rounds)]
    refused: list[DayClosed] = []
    closings: list[bool] = []
    problems: list[BaseException] = []
    together = threading.Barrier(3, timeout=60)
    parts.eye.execute("select open_hits_day(%s)", [day])  # there is something to close in the first round

    def store_all(store: Store) -> None:
        for batch in hits:
            together.wait()
            store_until_done(store, batch, refused)

    def close_in_each_round(connection: psycopg.Connection[Any]) -> None:
        for number in range(rounds):
            together.wait()
            time.sleep(number % 10 / 1_000)  # a batch takes some milliseconds: at each of its statements
            closings.append(days._close(connection, day))

    def guarded(work: Any, argument: Any) -> None:
        try:
            work(argument)
        except BaseException as error:
            problems.append(error)
            together.abort()

    works = [
        (store_all, parts.store),
        (store_all, parts.make_store()),
        (close_in_each_round, parts.make_refresher()),
    ]
    threads = [threading.Thread(target=guarded, args=work) for work in works]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        refresh(parts.refresher)
    assert problems == []
    assert sum(closings) > rounds / 2
    assert len(refused) > rounds / 10, "they met"
    assert parts.rows("select count(*), count(distinct hit_id) from hits") == [(rounds * size, rounds * size)]
    assert parts.rows("select accepted, stored, duplicate, dead_lettered from ledger") == [
        (2 * rounds * size, rounds * size, rounds * size, 0)
    ]
    parts.refresh_all()
    assert differences(parts.eye) == {}
    assert parts.rows("select pageviews from daily_traffic") == [(rounds * size,)]
