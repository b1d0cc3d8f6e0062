"""A rebuild gives the rows that the increments gave, changes what is wrong, and loses nothing, also when killed."""

from __future__ import annotations

import contextlib
import datetime
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from services.hit import Hit
from services.rollup import rebuild as module
from services.rollup.compare import days_known
from services.rollup.rebuild import REBUILD_LOCK, Busy, Rebuilt, rebuild
from services.rollup.rebuild_command import BadRange, Range, command, range_of
from services.rollup.refresh import refresh
from services.rollups import ROLLUPS
from services.settings import Settings
from tests.history import SITES, count_sessions, make_history, make_posts
from tests.make import Log, make_hit
from tests.services.rollup.conftest import Parts
from tests.services.rollup.definition import EMPTY, put
from tests.strategies import examples, row_lists
from tools.servers import poll

pytestmark = pytest.mark.servers

NOW = datetime.datetime.now(datetime.UTC)
TODAY = NOW.date()
DAYS = [TODAY - datetime.timedelta(days=number) for number in (3, 2, 1)]
TABLES = [f"rollup_{rollup.name}" for rollup in ROLLUPS] + ["rollup_titles"]


def rows(parts: Parts, version: str = "") -> dict[str, list[Any]]:
    """Everything in the rollups; with ``version``, and which version of each row it is."""
    return {table: sorted(map(str, parts.rows(f"select {version} t.* from {table} t"))) for table in TABLES}


def run(
    parts: Parts, first: datetime.date = datetime.date.min, last: datetime.date = datetime.date.max
) -> list[Rebuilt]:
    """One rebuild of a range."""
    with psycopg.connect(parts.database.owner_url) as connection:
        days = days_known(connection, first, last)
        return list(rebuild(connection, days, sleep=lambda _: None))


def wrong(found: list[Rebuilt]) -> dict[str, int]:
    """How many cells were wrong, by rollup."""
    cells: dict[str, int] = {}
    for rebuilt in found:
        for table, number in {**rebuilt.cells, "rollup_titles": rebuilt.titles}.items():
            if number and table in TABLES:
                cells[table] = cells.get(table, 0) + number
    return cells


def fill(parts: Parts, hits: int = 150) -> list[Hit]:
    """A history, counted."""
    history = make_history(random.Random(3), DAYS, hits // 3)
    random.Random(4).shuffle(history)
    make_posts(parts.refresher, DAYS[0])
    for start in range(0, len(history), 20):
        put(parts.store, *history[start : start + 20])
        refresh(parts.refresher, 30)
    parts.refresh_all()
    return history


@given(hits=row_lists)
@hypothesis_settings(max_examples=examples(8))
def test_a_rebuild_gives_the_rows_that_the_increments_gave(parts: Parts, hits: list[Hit]) -> None:
    parts.eye.execute(EMPTY)
    for start in range(0, len(hits), 4):
        put(parts.store, *hits[start : start + 4])
        refresh(parts.refresher, 6)
    parts.refresh_all()
    before = rows(parts)
    assert wrong(run(parts)) == {}
    parts.eye.execute(f"truncate {', '.join(TABLES)}")
    run(parts)
    assert rows(parts) == before


def test_only_what_is_wrong_is_rewritten(parts: Parts) -> None:
    fill(parts)
    before = rows(parts, "t.xmin,")
    assert wrong(run(parts)) == {}
    assert rows(parts, "t.xmin,") == before
    for change in (
        "update rollup_pages set visitors = visitors + 5 where ctid = (select ctid from rollup_pages limit 1)",
        "delete from rollup_hours where ctid = (select ctid from rollup_hours limit 1)",
        "insert into rollup_bots select day, site_id, 'nobody', null, 3 from rollup_bots limit 1",
    ):
        parts.eye.execute(change)
    assert wrong(run(parts)) == {"rollup_pages": 1, "rollup_hours": 1, "rollup_bots": 1}
    after = rows(parts, "t.xmin,")
    assert sum(len(set(after[table]) - set(before[table])) for table in TABLES) == 2, (
        "a row anew and one changed"
    )
    assert sum(len(set(before[table]) - set(after[table])) for table in TABLES) == 2
    assert wrong(run(parts)) == {}


def test_days_outside_of_the_range_stay(parts: Parts) -> None:
    fill(parts)
    parts.eye.execute("update rollup_pages set pageviews = pageviews + 1")
    assert [rebuilt.day for rebuilt in run(parts, DAYS[1], DAYS[1])] == [DAYS[1]]
    assert {rebuilt.day for rebuilt in run(parts) if rebuilt.cells.get("rollup_pages")} == {DAYS[0], DAYS[2]}


# Hits come meanwhile ------------------------------------------------------------------------------------------------


def between(monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]) -> None:
    """Have something done after the wrong cells were found and before they are put right."""
    find = module._find
    monkeypatch.setattr(module, "_find", lambda *given: (find(*given), work()))


@pytest.mark.parametrize("lost", [TABLES, TABLES[:1], []])
def test_hits_that_are_counted_between_finding_and_putting_right_count_once(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, lost: list[str]
) -> None:
    fill(parts)
    fresh = make_history(random.Random(5), DAYS, 6)
    put(parts.store, *fresh[:9])
    if lost:
        parts.eye.execute(f"truncate {', '.join(lost)}")
    parts.eye.execute("update rollup_countries set visitors = visitors + 1, pageviews = 0")
    parts.eye.execute("insert into rollup_pages select day, site_id, 999, 5, 5 from rollup_traffic")
    batches = [fresh[9:12], fresh[12:15], fresh[15:]]

    def count_more() -> None:
        if batches:
            put(parts.store, *batches.pop())
            refresh(parts.refresher, 5)

    between(monkeypatch, count_more)
    run(parts)
    parts.refresh_all()
    monkeypatch.undo()
    assert batches == []
    assert wrong(run(parts)) == {}


def test_a_site_s_first_hit_that_comes_meanwhile_keeps_its_row(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event stands in no measure of the traffic: all zeros, as the row that nobody's hit had made."""
    put(parts.store, make_hit(day=DAYS[0]))
    parts.refresh_all()
    parts.eye.execute("insert into sites (site, used_on) values ('new.example', current_date)")
    parts.eye.execute(
        "insert into rollup_traffic select %s, site_id, 7, 7, 7, 7, 7 from sites where site = 'new.example'",
        [DAYS[0]],
    )

    def count_one() -> None:
        put(parts.store, make_hit(day=DAYS[0], site="new.example", event="signup"))
        parts.refresh_all()

    between(monkeypatch, count_one)
    assert wrong(run(parts, DAYS[0], DAYS[0])) == {"rollup_traffic": 1}
    assert parts.rows("select pageviews, owner_hits from daily_traffic where site = 'new.example'") == [
        (0, 0)
    ]
    monkeypatch.undo()
    assert wrong(run(parts)) == {}


def test_rebuilds_beside_an_enricher_and_a_rollup_that_work(parts: Parts) -> None:
    fill(parts)
    parts.eye.execute(f"truncate {', '.join(TABLES)}")
    hits = make_history(random.Random(8), [*DAYS, TODAY], 60)
    random.Random(9).shuffle(hits)
    problems: list[BaseException] = []

    def write_and_count() -> None:
        try:
            for start in range(0, len(hits), 3):
                put(parts.store, *hits[start : start + 3])
                # A cell was changed by hand at this moment: the refresh is undone whole, and tried again.
                with contextlib.suppress(psycopg.errors.SerializationFailure):
                    refresh(parts.refresher, 7)
        except BaseException as error:
            problems.append(error)

    thread = threading.Thread(target=write_and_count)
    thread.start()
    while thread.is_alive():
        run(parts)
        parts.eye.execute("update rollup_pages set pageviews = pageviews + 1 where page_id % 2 = 1")
    thread.join()
    assert problems == []
    parts.refresh_all()
    run(parts)
    assert wrong(run(parts)) == {}
    assert parts.rows("select sum(pageviews) from daily_pages") == parts.rows(
        "select count(*) from hits where event = 'pageview' and not is_bot and not is_me"
    )


def test_a_refresh_waits_only_while_cells_are_written(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(parts)
    put(parts.store, make_hit(day=DAYS[0]))
    parts.eye.execute("update rollup_pages set pageviews = 0")
    seen: list[int | None] = []
    between(monkeypatch, lambda: seen.append(refresh(parts.refresher)))
    put_right = module._put_right
    monkeypatch.setattr(
        module, "_put_right", lambda *given: (seen.append(refresh(parts.refresher)), put_right(*given))
    )
    run(parts, DAYS[0], DAYS[0])
    assert seen == [1, None]


def test_batches_that_wait_are_left_to_the_refresh(parts: Parts) -> None:
    fill(parts)
    put(parts.store, make_hit(day=DAYS[1], path="/waits"))
    assert wrong(run(parts)) == {}
    assert parts.waiting() == 1
    parts.refresh_all()
    assert wrong(run(parts)) == {}


def test_one_at_a_time(parts: Parts) -> None:
    with parts.database.connect() as other:
        other.execute("select pg_advisory_lock(%s)", [REBUILD_LOCK])
        with pytest.raises(Busy, match="another"):
            run(parts)
    assert poll(lambda: bool(run(parts)), 5), "the lock ends with its connection"


# Titles, sessions, partitions ---------------------------------------------------------------------------------------


def test_a_title_comes_back_that_is_of_another_day_than_the_range(parts: Parts) -> None:
    put(parts.store, make_hit(title="Old", day=DAYS[0], received_at=NOW - datetime.timedelta(days=3)),
        make_hit(title="New", day=DAYS[2], received_at=NOW - datetime.timedelta(days=1)))  # fmt: skip
    parts.refresh_all()
    parts.eye.execute("delete from rollup_titles")
    run(parts, DAYS[0], DAYS[0])
    assert parts.rows("select distinct title from daily_pages") == [("New",)]


def test_a_title_whose_hit_was_dropped_stays(parts: Parts) -> None:
    put(parts.store, make_hit(title="Only one", day=DAYS[0], received_at=NOW - datetime.timedelta(days=3)),
        make_hit(title=None, day=DAYS[2], received_at=NOW - datetime.timedelta(days=1)))  # fmt: skip
    parts.refresh_all()
    parts.eye.execute(f"drop table hits_days.d{DAYS[0]:%Y%m%d}")
    found = {rebuilt.day: rebuilt for rebuilt in run(parts)}
    assert [gone[2:] for gone in found[DAYS[0]].gone] == [(1, 0)]
    assert parts.rows("select distinct title from daily_pages") == [("Only one",)]
    assert parts.rows("select count(*) from daily_pages") == [(2,)], "and its rollups"


def test_entry_and_exit_pages_that_are_wrong_are_marked_to_be_counted_anew(parts: Parts) -> None:
    fill(parts)
    count_sessions(parts.eye)
    run(parts)
    assert parts.rows("select count(*) from sessions_pending") == [(0,)]
    parts.eye.execute("update rollup_exits set sessions = sessions + 1 where day = %s", [DAYS[1]])
    run(parts)
    assert sorted(parts.rows("select site, day from sessions_pending join sites using (site_id)")) == [
        (site, DAYS[1]) for site in sorted(SITES)
    ]


@pytest.mark.parametrize("days", [-1, 0, 7])
def test_a_partition_that_is_missing_is_made_again(parts: Parts, days: int) -> None:
    day = TODAY + datetime.timedelta(days=days)
    parts.eye.execute(f"drop table hits_days.d{day:%Y%m%d}")
    found = run(parts, day, day)
    assert [(rebuilt.day, rebuilt.partition_made) for rebuilt in found] == [(day, True)]
    assert parts.rows(f"select hits_day_is_open('{day}')") == [(True,)]


LOSSES = (
    "delete from stored_hits where (day, hit_id) = (select day, hit_id from stored_hits where day = '{day}' limit 1)",
    "drop table hits_days.{name}",
)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_day_whose_hits_are_gone_keeps_its_rollups(parts: Parts, loss: str) -> None:
    fill(parts)
    parts.eye.execute("update rollup_pages set pageviews = pageviews + 1")
    parts.eye.execute(loss.format(day=DAYS[1], name=f"d{DAYS[1]:%Y%m%d}"))
    before = parts.rows(f"select * from rollup_pages where day = '{DAYS[1]}' order by 1, 2, 3")
    found = run(parts)
    assert [rebuilt.day for rebuilt in found if rebuilt.gone] == [DAYS[1]]
    assert parts.rows(f"select * from rollup_pages where day = '{DAYS[1]}' order by 1, 2, 3") == before
    assert {rebuilt.day for rebuilt in found if rebuilt.cells.get("rollup_pages")} == {DAYS[0], DAYS[2]}


# Killed -------------------------------------------------------------------------------------------------------------

PROGRAM = """
import sys, psycopg
from services.rollup.rebuild import rebuild
from services.rollup.compare import days_known
import datetime
with psycopg.connect(sys.argv[1]) as connection:
    days = days_known(connection, datetime.date.min, datetime.date.max)
    for rebuilt in rebuild(connection, days):
        print(rebuilt.day, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_rebuild_leaves_each_day_right_or_as_it_was(parts: Parts, number: int) -> None:
    fill(parts, 300)
    good = {table: parts.rows(f"select * from {table}") for table in TABLES[:-1]}
    parts.eye.execute(f"truncate {', '.join(TABLES)}")
    dice = random.Random(number)
    for _ in range(6):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, parts.database.owner_url],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[3],
        )  # fmt: skip
        assert process.stdout
        process.stdout.readline()  # it is at work
        time.sleep(dice.random() * 0.15)
        os.kill(process.pid, number)
        process.wait(20)
        process.stdout.close()
        assert poll(lambda: parts.rows("select 1 from pg_locks where locktype = 'advisory'") == [], 20), (
            "its locks end with it"
        )
        for day in DAYS:
            now = {
                table: sorted(
                    map(str, (row for row in parts.rows(f"select * from {table}") if row[0] == day))
                )
                for table in good
            }
            whole = {table: sorted(map(str, (row for row in good[table] if row[0] == day))) for table in good}
            assert now in (whole, {table: [] for table in good}), day
        parts.eye.execute(f"truncate {', '.join(TABLES)}")
    run(parts)
    assert wrong(run(parts)) == {}


# How it is asked ----------------------------------------------------------------------------------------------------


def test_the_range_is_read() -> None:
    assert range_of(["TO=2026-11-07", "FROM=2026-11-01"]) == Range(
        datetime.date(2026, 11, 1), datetime.date(2026, 11, 7)
    )


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "FROM is not given"),
        (["FROM=2026-11-01"], "TO is not given"),
        (["FROM=", "TO=2026-11-01"], "FROM is not given"),
        (["FROM=2026-02-30", "TO=2026-11-01"], "FROM=2026-02-30"),
        (["FROM=2026-11-01", "TO=yesterday"], "TO=yesterday"),
        (["FROM=2026-11-02", "TO=2026-11-01"], "after"),
        (["2026-11-02", "2026-11-01"], "2026-11-02"),
    ],
)
def test_a_bad_range_is_named(arguments: list[str], what: str, settings: Settings) -> None:
    with pytest.raises(BadRange, match=what):
        range_of(arguments)
    log = Log()
    assert command(arguments, settings, log) == 1  # type: ignore[arg-type]
    assert what in log.text


def test_the_rollup_s_own_command_says_each_day(parts: Parts, settings: Settings) -> None:
    fill(parts)
    parts.eye.execute("update rollup_pages set pageviews = pageviews + 1")
    log = Log()
    assert command([f"FROM={DAYS[0]}", f"TO={DAYS[2]}"], settings, log) == 0  # type: ignore[arg-type]
    assert log.actions == ["rebuilt"] * 3
    parts.eye.execute(f"drop table hits_days.d{DAYS[1]:%Y%m%d}")
    assert command([f"FROM={DAYS[0]}", f"TO={DAYS[2]}"], settings, log) == 1  # type: ignore[arg-type]
    assert log.actions[3:] == ["rebuilt", "not-rebuilt", "rebuilt"]
    assert "has 0 of" in log.text
