"""Sessions by real enrichers: started at once, killed, restarted, without servers, without KEY_DIR."""

from __future__ import annotations

import datetime
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services.hit import RawHit
from services.hit_stream import FIELD, STREAM
from services.sealing import KeyFiles
from services.settings import Settings
from tests.conftest import Database
from tests.make import DAY, NOW_US, make_raw_hit
from tests.services.enricher.parts import Bench, rows
from tools.servers import free_port, poll, spawn

pytestmark = pytest.mark.servers
ROOT = Path(__file__).resolve().parents[3]
# Where it is about noon now, so that today does not end while a test runs, and yesterday ended 12 h ago.
_OFFSET = 12 - datetime.datetime.now(datetime.UTC).hour
ZONE = f"Etc/GMT{-_OFFSET:+d}" if _OFFSET else "UTC"  # these names count westwards
TODAY = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=_OFFSET)).date()
YESTERDAY = TODAY - datetime.timedelta(days=1)


class Enricher:
    """``python -m services.enricher`` on the test's servers."""

    def __init__(self, settings: Settings, name: str, **differing: str) -> None:
        self.log = settings.data_dir / f"{name}.log"
        self._environ = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            "DATA_DIR": str(settings.data_dir),
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "REPORT_TIMEZONE": ZONE,
            "CONSUMER_NAME": name,
            "PYTHONPATH": str(ROOT),
            **differing,
        }
        self.start()

    def start(self) -> None:
        arguments: list[str | Path] = [sys.executable, "-m", "services.enricher"]
        self.process = spawn(arguments, environ=self._environ, log=self.log)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        self.process.terminate()
        try:
            return self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def actions(self) -> list[str]:
        """What it logged, of all its runs."""
        return [json.loads(line)["action"] for line in self.log.read_text().splitlines()]


Starter = Callable[..., Enricher]


@pytest.fixture
def start(settings: Settings) -> Iterator[Starter]:
    """Starts enrichers; none outlives the test."""
    started: list[Enricher] = []

    def make(name: str = "one", **differing: str) -> Enricher:
        started.append(Enricher(settings, name, **differing))
        return started[-1]

    yield make
    for enricher in started:
        if enricher.process.poll() is None:
            enricher.kill()


@pytest.fixture
def sessions(settings: Settings) -> KeyFiles:
    """The files of session keys."""
    return KeyFiles(settings.key_dir, "session")


PEOPLE = [
    (site, f"203.0.113.{address}", agent)
    for site in ("blog.example", "shop.example")
    for address in range(3)
    for agent in ("Firefox", "Safari")
]


def hits_of_everybody(number: int, **differing: Any) -> list[RawHit]:
    """A hit of each person; who it was stands in the page's path, as a row does not tell."""
    return [
        make_raw_hit(
            id=number * 1_000 + who,
            url=f"https://{site}/{who}",
            received_at_us=int(time.time() * 1_000_000),
            **{"day": str(TODAY), "site": site, "address": address, "user_agent": agent, **differing},
        )
        for who, (site, address, agent) in enumerate(PEOPLE)
    ]


def test_two_enrichers_that_start_at_once_and_are_killed_agree_on_every_session(
    bench: Bench, database: Database, start: Starter, sessions: KeyFiles
) -> None:
    chance = random.Random()
    for number in range(1, 601):  # several reads full: each gets some, and needs the day's key
        bench.put(bench.group(hits_of_everybody(number), seq=number))
    enrichers = [start("one"), start("two")]
    assert sessions.names() == [], "nobody has drawn a key yet"
    for number in range(601, 801):
        bench.put(bench.group(hits_of_everybody(number), seq=number))
        if number % 20 == 0:
            time.sleep(chance.uniform(0.1, 1.2))  # a moment of its work or of its start, for the kill
            victim = chance.choice(enrichers)
            victim.kill()
            victim.start()
    numbers = itertools.count(801)

    def both_took_part() -> bool:
        """One may have been done with all before the other had started."""
        bench.put(*(bench.group(hits_of_everybody(n), seq=n) for n in itertools.islice(numbers, 5)))
        return all("batch" in enricher.actions() for enricher in enrichers)

    assert poll(both_took_part, 60)
    last = next(numbers)
    bench.put(
        bench.group(hits_of_everybody(last, anonymous=True), seq=last),
        bench.group(hits_of_everybody(last + 1, day=str(YESTERDAY)), seq=last + 1),
    )
    assert poll(lambda: bench.waiting() == 0, 60)
    found = rows(
        database,
        "select array_agg(distinct session_id::text), count(*), count(*) - count(session_id) from hits where day = %s"
        " group by site, path",
        TODAY,
    )
    ids = {session for sessions_of_one, _, _ in found for session in sessions_of_one if session}
    assert len(ids) == len(found) == len(PEOPLE), "one for each, and no two share one"
    assert {(number, anonymous) for _, number, anonymous in found} == {(last, 1)}
    late = rows(database, "select count(*), count(session_id) from hits where day = %s", YESTERDAY)
    assert late == [(len(PEOPLE), 0)], "its key's 6 h were over"
    assert sessions.names() == [str(TODAY)]


def test_the_key_waits_for_an_enricher_that_lags_and_goes_when_its_entry_is_stored(
    bench: Bench, sessions: KeyFiles
) -> None:
    """Past midnight one enricher is done with the day; the other has read an entry of it and not stored it yet."""
    ahead, lagging = bench.consumer("ahead"), bench.stream("lagging")
    sessions.get_or_make(DAY)
    bench.redis.xadd(STREAM, {FIELD: bench.group(hits_of_everybody(1))}, id=NOW_US // 1000)
    [entry] = lagging.read(10, 100)
    an_hour_past_midnight_s = NOW_US / 1_000_000 + 6.5 * 3_600
    assert ahead._keep_house(an_hour_past_midnight_s) == []
    assert sessions.names() == [DAY]
    lagging.ack([entry.entry_id])
    ahead._keep_house(an_hour_past_midnight_s)
    assert sessions.names() == []


# The promise of 6 h -----------------------------------------------------------------------------------------------


def is_gone(sessions: KeyFiles) -> bool:
    return sessions.is_destroyed(str(YESTERDAY))


def test_a_late_key_goes_while_postgresql_has_never_been_there(start: Starter, sessions: KeyFiles) -> None:
    sessions.get_or_make(str(YESTERDAY))
    enricher = start(DATABASE_URL=f"postgresql://footfall@127.0.0.1:{free_port()}/none")
    assert poll(lambda: is_gone(sessions), 10)
    assert enricher.process.poll() is None
    assert enricher.stop() == 0


def test_a_late_key_goes_while_redis_has_never_been_there(start: Starter, sessions: KeyFiles) -> None:
    sessions.get_or_make(str(YESTERDAY))
    start(REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert poll(lambda: is_gone(sessions), 10)


def test_a_key_goes_late_while_the_enricher_waits_within_postgresql(
    bench: Bench, database: Database, start: Starter, sessions: KeyFiles
) -> None:
    with database.connect() as other, other.transaction():
        other.execute("lock table ledger in access exclusive mode")
        start()
        bench.put(bench.group(hits_of_everybody(1)))
        stands = (
            "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        assert poll(lambda: rows(database, stands) != [], 20)
        sessions.get_or_make(str(YESTERDAY))
        assert poll(lambda: is_gone(sessions), 10)
    assert poll(lambda: bench.waiting() == 0, 10)


# Without KEY_DIR --------------------------------------------------------------------------------------------------


def test_an_enricher_whose_keys_are_away_waits_and_goes_on_with_the_same_sessions(
    bench: Bench, database: Database, start: Starter, sessions: KeyFiles
) -> None:
    enricher = start()
    first, second = bench.group(hits_of_everybody(1)), bench.group(hits_of_everybody(2), seq=2)
    bench.put(first)
    assert poll(lambda: rows(database, "select count(*) from hits") == [len(PEOPLE)], 20)
    folder = bench.settings.key_dir
    away = folder.rename(folder.with_name("away"))
    assert poll(lambda: {"waiting", "keys-not-destroyed"} <= set(enricher.actions()), 20)
    assert enricher.process.poll() is None
    away.rename(folder)
    bench.put(second)
    assert poll(lambda: bench.waiting() == 0, 20)
    assert rows(database, "select count(distinct session_id), count(session_id) from hits") == [
        (len(PEOPLE), 2 * len(PEOPLE))
    ]
    assert enricher.stop() == 0


# Clocks that are ahead, days that are sealed -----------------------------------------------------------------------


def test_hits_of_days_to_come_are_in_the_sessions_of_today_and_of_sealed_days_in_none(
    bench: Bench, database: Database, start: Starter, sessions: KeyFiles
) -> None:
    enricher = start(RETENTION_DAYS="1")
    days = [
        str(TODAY),
        "2199-01-01",
        "9999-12-31",
        str(YESTERDAY),
        str(YESTERDAY - datetime.timedelta(days=1)),
    ]
    bench.put(*(bench.group(hits_of_everybody(n, day=day), seq=n) for n, day in enumerate(days, 1)))
    assert poll(lambda: bench.waiting() == 0, 20)
    number = len(PEOPLE)
    assert rows(
        database, "select day, count(*), count(distinct session_id) from hits group by 1 order by 1"
    ) == [(YESTERDAY, number, 0), (TODAY, 3 * number, number)]
    assert rows(database, "select day::text, sum(hits)::int, reason from dead_letters group by 1, 3") == [
        (days[-1], number, "too-late")
    ]
    assert sessions.names() == [str(TODAY)]
    # Said once the entries are off the stream.
    assert poll(lambda: {"clock-ahead", "too-late"} <= set(enricher.actions()), 10)
