"""What was buried is listed, stored after all once, or dropped; ledger and rollups stay exact."""

from __future__ import annotations

import datetime
import json
import threading
import uuid
from typing import Any

import psycopg
import pytest

from services.enricher import __main__ as enricher_main
from services.enricher.dead_letters import Replay, Replayed, Which, drop, heaps
from services.enricher.dead_letters_command import BadRequest, Request, answer, request_of
from services.logs import make_logger
from services.rollup.refresh import prepare, refresh
from tests.conftest import Database
from tests.make import ADDRESS, DAY, NOW, SITE, USER_AGENT, make_raw_hit
from tests.services.enricher.parts import Bench, ledger, rows, state
from tools.check import problems
from tools.servers import poll

pytestmark = pytest.mark.servers
ALL = Which()
WAITING = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def bury(bench: Bench, *hits: Any, seq: int = 1) -> None:
    """Let hits be buried that only a broken look-up keeps from being stored."""
    bench.enricher._country_of = {}.__getitem__
    bench.put(bench.group(list(hits), seq=seq))
    bench.drain(bench.consumer(f"burying {seq}"))
    bench.enricher._country_of = lambda _: "DE"


def replay(bench: Bench, which: Which = ALL, batch: int = 500) -> Replayed:
    """What became of all batches."""
    with bench.connect() as connection:
        steps = Replay(connection, bench.enricher, bench.settings.retention_days, NOW.date()).run(
            which, batch
        )
        return (
            Replayed(*map(sum, zip(*steps, strict=True))) if (steps := list(steps)) else Replayed(0, 0, 0, 0)
        )


def test_a_letter_becomes_a_hit_of_nobody_at_its_own_time(bench: Bench, database: Database) -> None:
    hit = make_raw_hit(
        id=1, title="A post", referrer="https://news.ycombinator.com/item", language="de-CH", screen="1920x1080",
        event="signup", props={"plan": "pro", "seats": 3}, status=200,
    )  # fmt: skip
    bury(bench, hit, make_raw_hit(id=2, is_me=True))
    assert ledger(database) == (2, 0, 0, 2)
    assert replay(bench) == Replayed(2, 0, 0, 0)
    assert ledger(database) == (2, 2, 0, 0)
    [row] = rows(
        database,
        "select received_at, day::text, path, title, source, language, event, props, status, session_id, country,"
        " browser, os, device, is_bot, is_me from hits where hit_id = %s",
        uuid.UUID(int=1),
    )
    assert row == (
        NOW, DAY, "/a", "A post", "Hacker News", "de-CH", "signup", {"plan": "pro", "seats": 3}, 200,
        None, None, None, None, None, False, False,
    )  # fmt: skip
    assert rows(database, "select is_me from hits order by hit_id") == [False, True]
    assert rows(database, "select count(*) from dead_letters") == [0]


def test_a_replayed_person_is_a_pageview_and_no_visitor_and_a_bot_stays_one(
    bench: Bench, database: Database
) -> None:
    bury(bench, make_raw_hit(), make_raw_hit(user_agent=BOT))
    [letter] = rows(database, "select hit from dead_letters where hit ->> 'bot' is not null")
    assert letter["bot"] == {"name": "Googlebot", "bot_class": "search"}
    replay(bench)
    count(database)
    assert rows(database, "select pageviews, visitors, anonymous_pageviews, bot_hits from daily_traffic") == [
        (1, 0, 1, 1)
    ]
    assert audit(database) == []


def test_what_fails_again_stays_a_letter(bench: Bench, database: Database) -> None:
    bad = [make_raw_hit(id=7, url="nonsense"), make_raw_hit(id=8)]
    bury(bench, *bad, make_raw_hit(id=9))
    with database.connect() as owner:
        owner.execute(
            f"alter table stored_hits add constraint strange check (hit_id <> '{uuid.UUID(int=8)}')"
        )
    before = state(database)["dead_letters"]
    assert replay(bench) == Replayed(1, 0, 2, 0)
    assert ledger(database) == (3, 1, 0, 2)
    after = state(database)["dead_letters"]
    assert len(after) == 2
    assert all(letter in before for letter in after)
    with database.connect() as owner:
        owner.execute("alter table stored_hits drop constraint strange")
    assert replay(bench) == Replayed(1, 0, 1, 0)
    assert replay(bench) == Replayed(0, 0, 1, 0)
    assert ledger(database) == (3, 2, 0, 1)


def test_a_hit_that_was_sent_again_meanwhile_is_a_duplicate(bench: Bench, database: Database) -> None:
    bury(bench, make_raw_hit(id=1))
    bench.put(bench.group([make_raw_hit(id=1)], seq=2))
    bench.drain(bench.consumer())
    assert replay(bench) == Replayed(0, 1, 0, 0)
    assert ledger(database) == (2, 1, 1, 0)


def test_the_entry_that_comes_again_after_its_replay_changes_nothing(
    bench: Bench, database: Database
) -> None:
    bury(bench, make_raw_hit(id=1))
    replay(bench)
    before = state(database)
    bury(bench, make_raw_hit(id=1))
    assert state(database) == before


def test_days_past_the_retention_stay_letters(bench: Bench, database: Database) -> None:
    bury(bench, make_raw_hit(day="2025-10-18"))
    bench.settings = bench.settings.__class__(
        **{
            name: getattr(bench.settings, name)
            for name in bench.settings.__slots__
            if name != "retention_days"
        },
        retention_days=30,
    )
    assert replay(bench) == Replayed(0, 0, 0, 1)
    assert ledger(database) == (1, 0, 0, 1)


def test_letters_are_chosen_by_reason_and_by_id(bench: Bench, database: Database) -> None:
    bury(bench, *(make_raw_hit() for _ in range(4)))
    bench.put(b"nonsense")
    bench.drain(bench.consumer())
    [one, *_] = rows(database, "select dead_letter_id from dead_letters where hit is not null order by 1")
    assert replay(bench, Which(id=one)) == Replayed(1, 0, 0, 0)
    assert replay(bench, Which(reason="row")) == Replayed(0, 0, 0, 0)
    assert replay(bench, Which(reason="enrich"), batch=2) == Replayed(3, 0, 0, 0)
    assert replay(bench) == Replayed(0, 0, 0, 0), "a letter without a hit can only be dropped"
    assert ledger(database) == (5, 4, 0, 1)


def test_two_replays_and_a_drop_at_once_do_each_letter_once(bench: Bench, database: Database) -> None:
    bury(bench, *(make_raw_hit() for _ in range(60)))
    threads = [threading.Thread(target=replay, args=(bench, ALL, 7)) for _ in range(2)]
    for thread in threads:
        thread.start()
    with bench.connect() as connection:
        drop(connection, ALL)
    for thread in threads:
        thread.join(60)
    accepted, stored, duplicate, dead = ledger(database)
    assert (accepted, stored + dead, duplicate) == (60, 60, 0)
    assert rows(
        database, "select coalesce(sum(hits), 0)::int from dead_letters where dropped_at is not null"
    ) == [dead]


def test_a_replay_that_is_cut_off_anywhere_is_begun_again(bench: Bench, database: Database) -> None:
    """Its connection is killed while it waits for a lock, at each of the places where it takes one."""
    bury(bench, *(make_raw_hit(id=number) for number in range(40)))
    for place in ("dead_letters", "stored_hits", "ledger", "rollup_pending"):
        with database.connect() as other, other.transaction():
            other.execute(f"lock table {place} in share mode")
            failed: list[BaseException] = []

            def run(failed: list[BaseException] = failed) -> None:
                try:
                    replay(bench, batch=10)
                except psycopg.Error as error:
                    failed.append(error)

            thread = threading.Thread(target=run)
            thread.start()
            assert poll(lambda: rows(database, WAITING) != [], 20), place
            other.execute("select pg_terminate_backend(%s, 5000)", rows(database, WAITING))
            thread.join(20)
            assert failed, place
        assert ledger(database) == (40, 0, 0, 40)
    assert replay(bench, batch=10) == Replayed(40, 0, 0, 0)
    assert ledger(database) == (40, 40, 0, 0)
    count(database)
    assert audit(database) == []


def test_dropped_letters_hold_nothing_and_the_ledger_counts_them(bench: Bench, database: Database) -> None:
    bury(bench, make_raw_hit(), make_raw_hit())
    bench.put(b"nonsense")
    bench.drain(bench.consumer())
    with bench.connect() as connection:
        assert drop(connection, Which(reason="enrich")) == 2
        assert drop(connection, Which(reason="enrich")) == 0
        assert [heap.reason for heap in heaps(connection)] == ["not-a-group"]
    assert (
        rows(database, "select hit, error from dead_letters where dropped_at is not null")
        == [(None, None)] * 2
    )
    assert ledger(database) == (3, 0, 0, 3)
    bench.put(b"nonsense")
    assert replay(bench) == Replayed(0, 0, 0, 0)


# The command ------------------------------------------------------------------------------------------------------


def told(bench: Bench, *arguments: str) -> list[str]:
    with bench.connect() as connection:
        return list(answer(request_of(arguments), connection, bench.settings))


def test_the_list_shows_heaps_with_examples_and_nobody(bench: Bench, database: Database) -> None:
    assert told(bench) == ["no dead letters"]
    bury(
        bench,
        *(
            make_raw_hit(title="\x1b[2J An odd title", url=f"https://blog.example/{n}?q={ADDRESS}")
            for n in range(5)
        ),
    )
    bench.put(b"nonsense")
    bench.drain(bench.consumer())
    lines = told(bench)
    assert [line.split(", newest")[0] for line in lines if not line.startswith(" ")] == [
        f"{datetime.datetime.now(datetime.UTC).date()}  not-a-group  (no site could be told): 1 hits",
        f"{DAY}  enrich  {SITE}: 5 hits, 5 can be replayed",
    ]
    examples = [line for line in lines if line.startswith("    ")]
    assert len(examples) == 3
    assert all("KeyError at " in line and "https://blog.example/" in line for line in examples)
    [text] = told(bench, "JSON=1")
    assert [(heap["reason"], heap["hits"], len(heap["examples"] or [])) for heap in json.loads(text)] == [
        ("not-a-group", 1, 0), ("enrich", 5, 3),
    ]  # fmt: skip
    for secret in (ADDRESS, USER_AGENT, "\x1b"):
        assert secret not in text + "\n".join(lines)


def test_the_command_replays_and_drops(
    bench: Bench, database: Database, monkeypatch: Any, capsys: Any
) -> None:
    bury(bench, make_raw_hit(), make_raw_hit(url="nonsense"))
    log = make_logger("enricher")
    assert enricher_main.dead_letters(["REPLAY=all"], bench.settings, log) == 0
    assert enricher_main.dead_letters(["DROP=url"], bench.settings, log) == 0
    assert capsys.readouterr().out == (
        "1 hits stored, 0 were there already\n1 failed again: their letters stay\n"
        "1 hits' letters emptied; the ledger counts them as before\n"
    )
    assert enricher_main.dead_letters(["DROP=nonsense"], bench.settings, log) == 1


@pytest.mark.parametrize("arguments", [["x"], ["REPLAY=x"], ["REPLAY=all", "DROP=all"], ["ALLOW=1"]])
def test_what_cannot_be_done_is_said(arguments: list[str]) -> None:
    with pytest.raises(BadRequest, match="write nothing, JSON=1, REPLAY=… or DROP=…"):
        request_of(arguments)


def test_nothing_is_the_list() -> None:
    assert request_of([]) == Request()


# Helpers ------------------------------------------------------------------------------------------------------------


def count(database: Database) -> None:
    with psycopg.connect(database.owner_url) as connection:
        prepare(connection)
        while refresh(connection):
            pass


def audit(database: Database) -> list[str]:
    with database.connect() as connection:
        found = [line for problem in problems(connection, 36_500) for line in problem.lines()]
    return [line for line in found if "days without a partition" not in line]
