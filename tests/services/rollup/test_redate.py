"""Another REPORT_TIMEZONE: each kept hit on its day in it, once, in hits, ledger and rollups, also when killed."""

from __future__ import annotations

import datetime
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import psycopg
import pytest

from services.hit import Hit
from services.rollup.rebuild import Rebuilt, alone
from services.rollup.redate import Moved, change_timezone, redate
from services.rollup.refresh import refresh
from services.rules import VERSION
from services.settings import Settings
from tests.history import make_history
from tests.make import id_of, make_hit, moment_of
from tests.services.rollup.conftest import Parts
from tests.services.rollup.definition import differences, put
from tests.services.rollup.test_rebuild import TABLES, run, wrong
from tools.check import problems
from tools.servers import poll

pytestmark = pytest.mark.servers

NOW = datetime.datetime.now(datetime.UTC)
TODAY = NOW.date()
DAYS = [TODAY - datetime.timedelta(days=number) for number in (4, 3, 2)]
RETENTION_DAYS = 400


def in_zone(hits: Iterable[Hit], zone: str) -> list[Hit]:
    """The hits with the day that the pixel gives them in this zone."""
    there = ZoneInfo(zone)
    return [msgspec.structs.replace(hit, day=moment_of(hit).astimezone(there).date()) for hit in hits]


def set_zone(parts: Parts, zone: str) -> None:
    parts.eye.execute("update installation set report_timezone = %s", [zone])


def change(parts: Parts, zone: str) -> list[Moved | Rebuilt]:
    """What an operator does, with a rollup that runs."""
    set_zone(parts, zone)
    with psycopg.connect(parts.database.owner_url) as connection:
        return list(change_timezone(connection, RETENTION_DAYS, sleep=lambda _: None))


def audit(parts: Parts) -> list[str]:
    """What `make check` finds."""
    with psycopg.connect(parts.database.owner_url, autocommit=True) as own:
        return [line for found in problems(own, RETENTION_DAYS) for line in found.lines()]


def ledger(parts: Parts) -> dict[Any, Any]:
    """Accepted, stored, duplicate by site and day; places where nothing is left are none."""
    rows = parts.rows("select site, day, accepted, stored, duplicate from ledger where accepted > 0")
    return {row[:2]: row[2:] for row in rows}


def fill(
    parts: Parts, zone: str = "UTC", days: list[datetime.date] | None = None, hits_a_day: int = 60
) -> list[Hit]:
    """A history that was stored and counted under a zone."""
    set_zone(parts, zone)
    hits = in_zone(make_history(random.Random(zone), days or DAYS, hits_a_day), zone)
    random.Random(1).shuffle(hits)
    for start in range(0, len(hits), 25):
        put(parts.store, *hits[start : start + 25])
    parts.refresh_all()
    return hits


@pytest.mark.parametrize(
    ("former", "zone"),
    [
        ("UTC", "Europe/Berlin"),
        ("UTC", "Pacific/Kiritimati"),  # +14
        ("UTC", "Asia/Kathmandu"),  # +5:45: hours begin at a quarter past
        ("Asia/Kathmandu", "UTC"),
        ("America/New_York", "UTC"),
        ("Europe/Berlin", "America/Los_Angeles"),  # backward
        ("Pacific/Pago_Pago", "Pacific/Kiritimati"),  # 25 hours: two days at once
        ("Pacific/Kiritimati", "Pacific/Pago_Pago"),
        ("Europe/Berlin", "Europe/Paris"),
    ],
)
def test_each_hit_is_on_its_day_and_everything_follows(parts: Parts, former: str, zone: str) -> None:
    hits = fill(parts, former)
    set_zone(parts, zone)
    if (former, zone) != ("Europe/Berlin", "Europe/Paris"):
        assert [line for line in audit(parts) if line.startswith("hits are not on their day")]
    change(parts, zone)
    hits = in_zone(hits, zone)
    assert Counter(parts.rows("select hit_id, day, received_at, path from hits")) == Counter(
        (id_of(hit), hit.day, moment_of(hit), hit.path) for hit in hits
    )
    counts = Counter((hit.site, hit.day) for hit in hits)
    assert ledger(parts) == {place: (number, number, 0) for place, number in counts.items()}
    assert differences(parts.eye) == {}
    assert audit(parts) == []
    assert not [step for step in change(parts, zone) if isinstance(step, Moved)]
    assert wrong(run(parts)) == {}


@pytest.mark.parametrize(
    ("day", "hours"),
    [(datetime.date(2026, 3, 29), 23), (datetime.date(2026, 10, 25), 25), (datetime.date(2026, 6, 1), 24)],
)
def test_days_of_23_and_25_hours(parts: Parts, day: datetime.date, hours: int) -> None:
    """A hit each half an hour of three days, into Berlin and back to where it was."""
    start = datetime.datetime.combine(day - datetime.timedelta(days=1), datetime.time(), datetime.UTC)
    times = [start + datetime.timedelta(minutes=30 * number) for number in range(3 * 48)]
    hits = in_zone([make_hit(received_at=at) for at in times], "UTC")
    put(parts.store, *hits)
    parts.refresh_all()
    before = ledger(parts)
    change(parts, "Europe/Berlin")
    assert parts.rows(f"select pageviews from daily_traffic where day = '{day}'") == [(2 * hours,)]
    assert parts.rows(
        f"select count(*), min(pageviews), max(pageviews) from hourly_traffic where day = '{day}'"
    ) == [(hours, 2, 2)]
    assert differences(parts.eye) == {}
    change(parts, "UTC")
    assert ledger(parts) == before
    assert differences(parts.eye) == {}
    assert audit(parts) == []


def test_the_hours_are_those_of_the_zone(parts: Parts) -> None:
    at = datetime.datetime.combine(DAYS[0], datetime.time(12, 0), datetime.UTC)
    put(parts.store, *in_zone([make_hit(received_at=at)], "UTC"))
    parts.refresh_all()
    change(parts, "Asia/Kathmandu")  # 17:45 there
    assert parts.rows("select hour_starts_at from hourly_traffic") == [(at - datetime.timedelta(minutes=45),)]


def test_a_session_that_spans_two_days_now_counts_on_both(parts: Parts) -> None:
    session = uuid.uuid4()
    times = [datetime.datetime.combine(DAYS[0], datetime.time(hour), datetime.UTC) for hour in (21, 23)]
    put(parts.store, *in_zone([make_hit(received_at=at, session_id=session) for at in times], "UTC"))
    parts.refresh_all()
    assert parts.rows("select pageviews, visitors from daily_traffic") == [(2, 1)]
    change(parts, "Europe/Berlin")
    assert parts.rows("select pageviews, visitors from daily_traffic order by day") == [(1, 1), (1, 1)]
    assert differences(parts.eye) == {}


@pytest.mark.parametrize(
    ("former", "zone", "hours"),
    [
        ("UTC", "Europe/Berlin", (23.5, 24.5)),  # the first moves to the other's day
        ("Europe/Berlin", "UTC", (12.0, 23.5)),  # the other moves to the first one's day
    ],
)
def test_of_two_hits_with_one_id_that_meet_the_first_stays(
    parts: Parts, former: str, zone: str, hours: tuple[float, float]
) -> None:
    set_zone(parts, former)
    start = datetime.datetime.combine(DAYS[0], datetime.time(), datetime.UTC)
    times = [start + datetime.timedelta(hours=number) for number in hours]
    twins = [
        make_hit(id=7, received_at=at, path=path, title=path, session_id=uuid.uuid4())
        for at, path in zip(times, ("/first", "/second"), strict=True)
    ]
    rest = [make_hit(id=8 + number, received_at=at, path="/rest") for number in range(3) for at in times]
    put(parts.store, *in_zone([*twins, *rest], former))
    parts.refresh_all()
    assert parts.rows("select count(*) from hits where path <> '/rest'") == [(2,)]
    change(parts, zone)
    assert parts.rows("select path from hits where path <> '/rest'") == [("/first",)]
    [together] = ledger(parts).values()
    # The rest met, too: three ids, each twice.
    assert together == (8, 4, 4)
    assert differences(parts.eye) == {}
    assert audit(parts) == []


def test_ids_that_meet_on_no_day_do_not_meet_on_the_way(parts: Parts) -> None:
    """The same id on each day, in each direction: a day's hits leave it before others come."""
    times = [datetime.datetime.combine(day, datetime.time(12), datetime.UTC) for day in DAYS]
    for former, zone in (("UTC", "Pacific/Kiritimati"), ("Pacific/Kiritimati", "Pacific/Pago_Pago")):
        if former == "UTC":
            put(parts.store, *in_zone([make_hit(id=5, received_at=at) for at in times], "UTC"))
            parts.refresh_all()
        change(parts, zone)
        assert parts.rows("select count(*), count(distinct day) from hits") == [(3, 3)], zone
        assert [row[2] for row in ledger(parts).values()] == [0, 0, 0]


def test_days_whose_hits_are_partly_gone_keep_rows_and_rollups(parts: Parts) -> None:
    fill(parts)
    gone = DAYS[0]
    parts.eye.execute(f"drop table hits_days.d{gone:%Y%m%d}")
    kept = {table: parts.rows(f"select * from {table} where day = '{gone}'") for table in TABLES[:-1]}
    stored = parts.rows("select sum(stored) from ledger")
    found = change(parts, "America/New_York")  # hits of the next day belong to the one that is gone
    assert [step.day for step in found if isinstance(step, Rebuilt) and step.gone] == [gone]
    for table, rows in kept.items():
        assert Counter(parts.rows(f"select * from {table} where day = '{gone}'")) == Counter(rows), table
    assert parts.rows("select sum(stored) from ledger") == stored
    assert parts.rows(f"select count(*) > 0 from stored_hits where day = '{DAYS[1]}'") == [(True,)]
    assert [line.split(" (")[0] for line in audit(parts) if not line.startswith("  ")] == [
        "days without a partition: 1",
        "ledger.stored is not the number of hits",
    ]


def test_no_hit_moves_to_a_day_that_is_not_kept(parts: Parts) -> None:
    fill(parts)
    set_zone(parts, "America/New_York")
    with psycopg.connect(parts.database.owner_url) as connection, alone(connection):
        moved = list(redate(connection, DAYS, DAYS[0], sleep=lambda _: None))
    assert moved
    assert parts.rows("select min(day) from stored_hits") == [(DAYS[0],)]


def test_what_hits_name_is_kept_as_long_as_they_are(parts: Parts) -> None:
    fill(parts)
    tables = ("sites", "pages", "titles", "referrers", "origins", "clients")
    for table in tables:
        parts.eye.execute(f"update {table} set used_on = %s", [DAYS[-1]])
    change(parts, "Pacific/Kiritimati")
    assert audit(parts) == []
    for table in tables:
        assert parts.rows(f"select max(used_on) > '{DAYS[-1]}' from {table}") == [(True,)], table


def test_a_day_is_read_again_by_newer_rules_when_hits_come_to_it_that_were_not(parts: Parts) -> None:
    fill(parts)
    for day in DAYS[:2]:
        parts.eye.execute("insert into renormalised select site, %s, %s from sites", [day, VERSION])
    change(parts, "America/New_York")  # each day gets hits of the next one
    assert {day for (day,) in parts.rows("select day from renormalised")} == {DAYS[0]}


# At work, and killed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
def test_enricher_and_rollup_may_work_meanwhile(parts: Parts, zone: str) -> None:
    """Also with ids that are sent again, under their day in the new zone, before and after their first is moved."""
    first = fill(parts, hits_a_day=80)
    set_zone(parts, zone)
    dice = random.Random(zone)
    later_us = 1_000_000
    again = [
        msgspec.structs.replace(hit, path="/again", received_at_us=hit.received_at_us + later_us)
        for hit in first[::3]
    ]
    again, fresh = in_zone(again, zone), in_zone(make_history(dice, [*DAYS, TODAY], 40), zone)
    late = make_history(dice, DAYS, 20)  # from a spool: still dated by the former zone
    stream = [*again, *fresh, *late]
    dice.shuffle(stream)
    problems_met: list[BaseException] = []

    def work() -> None:
        try:
            for start in range(0, len(stream), 4):
                put(parts.store, *stream[start : start + 4])
                refresh(parts.refresher)
                time.sleep(0.01)  # so that the other gets its share
        except BaseException as error:
            problems_met.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    days = sorted({hit.day for hit in (*stream, *first)})
    with psycopg.connect(parts.database.owner_url) as connection:
        while thread.is_alive():
            with alone(connection):
                list(redate(connection, days, days[0] - datetime.timedelta(days=5), batch=9))
    thread.join()
    assert problems_met == []
    parts.refresh_all()
    change(parts, zone)
    everything = in_zone([*first, *fresh, *late], zone)
    stored = Counter(parts.rows("select site, day, hit_id from hits"))
    ids = {(hit.site, hit.day, id_of(hit)) for hit in everything}
    # A second later may be another day: then the same id is another hit.
    stored -= Counter({(hit.site, hit.day, id_of(hit)) for hit in again} - ids)
    assert stored == Counter(ids)
    rows = ledger(parts)
    assert sum(row[0] for row in rows.values()) == len(everything) + len(again)
    assert all(accepted == kept + duplicate for accepted, kept, duplicate in rows.values())
    assert differences(parts.eye) == {}
    assert audit(parts) == []


PROGRAM = """
import sys, psycopg
from services.rollup.redate import change_timezone
with psycopg.connect(sys.argv[1]) as connection:
    for step in change_timezone(connection, 400, sleep=lambda _: None, batch=10):
        print(step, flush=True)
"""


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/New_York"])
def test_a_killed_change_goes_on_where_it_was(parts: Parts, zone: str) -> None:
    hits = fill(parts, hits_a_day=100)
    set_zone(parts, zone)
    dice = random.Random(zone)
    for _ in range(5):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, parts.database.owner_url],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[3],
        )  # fmt: skip
        assert process.stdout
        process.stdout.readline()
        time.sleep(dice.random() * 0.3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(20)
        process.stdout.close()
        assert poll(lambda: parts.rows("select 1 from pg_locks where locktype = 'advisory'") == [], 20)
        counts = parts.rows("select site, day, count(*) from hits group by 1, 2")
        assert {row[:2]: row[2] for row in counts} == {place: row[1] for place, row in ledger(parts).items()}
    change(parts, zone)
    hits = in_zone(hits, zone)
    assert Counter(parts.rows("select hit_id, day from hits")) == Counter(
        (id_of(hit), hit.day) for hit in hits
    )
    assert differences(parts.eye) == {}
    assert audit(parts) == []


def test_hits_that_wait_are_moved_when_they_are_counted(parts: Parts, settings: Settings) -> None:
    hits = fill(parts)
    extra = in_zone(make_history(random.Random(2), DAYS, 5), "UTC")
    put(parts.store, *extra)
    set_zone(parts, "Pacific/Kiritimati")
    calls = 0

    def sleep(_: float) -> None:
        nonlocal calls
        calls += 1
        assert parts.rows(
            "select count(*) from stored_hits h join rollup_pending w using (batch_id)"
            " where not exists (select from rollup_pending p where p.batch_id = h.batch_id and p.day = h.day)"
        ) == [(0,)]
        if calls == 20:
            parts.refresh_all()

    with psycopg.connect(parts.database.owner_url) as connection:
        list(change_timezone(connection, RETENTION_DAYS, sleep))
    everything = in_zone([*hits, *extra], "Pacific/Kiritimati")
    assert Counter(parts.rows("select hit_id, day from hits")) == Counter(
        (id_of(h), h.day) for h in everything
    )
    assert differences(parts.eye) == {}
