"""A bad deploy stops the enricher instead of burying all traffic; no stranger can."""

from __future__ import annotations

import random
import time
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.enricher.letter_limit import FREE_LETTERS, LetterLimit
from services.health import problem_at
from services.pixel.collect import Accepted, Collector, Headers
from services.settings import load_settings
from tests.conftest import Database
from tests.make import DAY, NOW_US, make_raw_hit
from tests.services.enricher.parts import Bench, ledger, rows, state
from tests.strategies import examples, wild_texts

pytestmark = pytest.mark.servers
SEALED_DAY = "2020-01-01"


def good(number: int) -> list[Any]:
    return [make_raw_hit() for _ in range(number)]


def bad(number: int) -> list[Any]:
    """Hits that cannot be enriched."""
    return [make_raw_hit(url="nonsense") for _ in range(number)]


def run(bench: Bench, percent: int = 20, tries: int = 3) -> Any:
    """An enricher that runs until the stream is empty, or has paused so often."""
    pauses: list[float] = []
    consumer = bench.consumer(
        max_dead_letter_percent=percent,
        stopped=lambda: len(pauses) >= tries or not bench.waiting(),
        sleep=lambda seconds: pauses.append(seconds) if bench.log.actions else None,
    )
    consumer.run()
    return consumer


def stopped(bench: Bench) -> bool:
    return bench.metrics.stopped_burying._value.get() == 1


def test_nothing_of_a_batch_is_stored_that_would_bury_too_much(bench: Bench, database: Database) -> None:
    bench.put(bench.group(good(100)), bench.group(good(70) + bad(30), seq=2), bench.group(bad(20), seq=3))
    before = state(database)
    run(bench, tries=8)  # more often than an entry may be handed out before it is tried alone
    assert state(database) == before
    assert bench.waiting() == bench.pending() == 3
    assert stopped(bench)
    assert bench.log.actions.count("stopped-burying") == 1, "said once, tried eight times"
    assert '"reasons": {"url": 50}' in bench.log.text
    assert "50 of the last 220 hits" in bench.log.text
    assert rows(database, "select consumer, letters, hits, reasons from enricher_stops") == [
        ("one", 50, 220, "url")
    ]
    assert bench.metrics.heartbeat._value.get() == pytest.approx(time.time(), abs=30)


def test_what_was_mended_is_stored_once_by_the_next_run(bench: Bench, database: Database) -> None:
    bench.enricher._country_of = {}.__getitem__  # a look-up that raises for all
    bench.put(*(bench.group(good(10), seq=seq) for seq in range(1, 31)))
    run(bench)
    assert ledger(database) == (0, 0, 0, 0)
    bench.enricher._country_of = lambda _: "DE"
    run(bench)
    assert ledger(database) == (300, 300, 0, 0)
    assert bench.waiting() == 0
    assert rows(database, "select count(*) from enricher_stops") == [0]


def test_an_enricher_that_is_mended_while_it_runs_goes_on(bench: Bench, database: Database) -> None:
    bench.enricher._country_of = {}.__getitem__
    bench.put(bench.group(good(30)))
    consumer = run(bench)
    assert stopped(bench)
    bench.enricher._country_of = lambda _: "DE"
    bench.drain(consumer)
    assert not stopped(bench)
    assert "burying-again" in bench.log.actions
    assert ledger(database) == (30, 30, 0, 0)


def test_an_operator_s_word_lets_all_be_buried(bench: Bench, database: Database) -> None:
    bench.put(bench.group(bad(30)))
    run(bench)
    assert ledger(database) == (0, 0, 0, 0)
    run(bench, percent=100)
    assert ledger(database) == (30, 0, 0, 30)


def test_a_few_bad_hits_of_a_quiet_day_stop_nothing(bench: Bench, database: Database) -> None:
    bench.put(*(bench.group(bad(1), seq=seq) for seq in range(1, FREE_LETTERS + 1)))
    consumer = run(bench)
    assert ledger(database) == (20, 0, 0, 20)
    bench.put(bench.group(bad(1), seq=50))
    consumer._stopped = lambda: stopped(bench)
    consumer.run()
    assert ledger(database) == (20, 0, 0, 20)
    bench.put(bench.group(good(100), seq=51))  # what comes behind it waits too: it may be the same fault
    consumer.run()
    assert bench.waiting() == 2


def test_refused_rows_are_counted_too(bench: Bench, database: Database) -> None:
    """The fault of a deploy may be the table's: as many are buried as may be, and the others wait."""
    bench.put(*(bench.group([make_raw_hit(title="\0")], seq=seq) for seq in range(1, 31)))
    run(bench)
    assert ledger(database) == (FREE_LETTERS, 0, 0, FREE_LETTERS)
    assert bench.waiting() == 30, "none is acknowledged before all of the batch are done"
    run(bench, percent=100)
    assert ledger(database) == (30, 0, 0, 30)
    assert bench.waiting() == 0


def test_another_folder_of_keys_stops_the_enricher(bench: Bench, database: Database) -> None:
    """Nothing can be opened: the wrong volume is mounted, or the keys are lost. Only an operator knows which."""
    bench.put(*(bench.group(good(3), seq=seq) for seq in range(1, 11)))
    folder = bench.settings.key_dir
    away = folder.rename(folder.with_name("away"))
    folder.mkdir()
    bench.sealing._ciphers.clear()
    run(bench)
    assert ledger(database) == (0, 0, 0, 0)
    assert '"reasons": {"seal": 30}' in bench.log.text
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    away.rename(folder)
    run(bench)
    assert ledger(database) == (30, 30, 0, 0)


def test_hits_of_sealed_days_do_not_count(bench: Bench, database: Database) -> None:
    bench.put(bench.group([make_raw_hit(day=SEALED_DAY) for _ in range(300)]))
    run(bench)
    assert ledger(database) == (300, 0, 0, 300)
    assert not stopped(bench)


def test_what_was_buried_before_does_not_count_again(bench: Bench, database: Database) -> None:
    groups = [bench.group(bad(1), seq=seq) for seq in range(1, 16)]
    bench.put(*groups, b"nonsense")
    consumer = run(bench)
    bench.put(*groups, *groups)
    bench.drain(consumer)
    assert ledger(database) == (16, 0, 0, 16)


@pytest.mark.parametrize(("good_hits", "allowed"), [(79, False), (80, True), (10_000, True)])
def test_the_share_is_that_of_all_hits(bench: Bench, good_hits: int, allowed: bool) -> None:
    limit = LetterLimit(20)
    letters = bench.works(bench.group(bad(21)))[0].dead_letters
    limit.check(letters[:1], good_hits)
    limit.committed()
    if allowed:
        limit.check(letters[:20], 4)
    else:
        with pytest.raises(Exception, match="21 of 104 hits"):
            limit.check(letters[:20], 4)


@given(seed=st.integers(0, 2**32), percent=st.sampled_from([0, 5, 20, 50, 99]))
@hypothesis_settings(max_examples=examples(3))
def test_nothing_is_buried_beyond_the_limit_and_nothing_is_lost(
    bench: Bench, database: Database, seed: int, percent: int
) -> None:
    """Bad hits come by chance and in heaps; in the end the deploy is mended, and each hit is stored once."""
    dice = random.Random(seed)
    broken: set[str] = set()
    before = ledger(database)
    seq = sent = 0
    bench.redis.flushall()
    bench.enricher._country_of = lambda address: {}[address] if address in broken else "DE"
    for runs in range(1, 13):
        heap = dice.random() < 0.2
        for _ in range(dice.randint(1, 4)):
            hits = [
                make_raw_hit(address=f"203.0.113.{2 if dice.random() < (0.7 if heap else 0.03) else 1}")
                for _ in range(dice.randint(1, 90))
            ]
            seq, sent = seq + 1, sent + len(hits)
            bench.put(bench.group(hits, seq=seq, pixel=seed + 1))
        broken.add("203.0.113.2")
        run(bench, percent, tries=1)
        accepted, _, _, dead = since(before, database)
        assert dead <= max(FREE_LETTERS * runs, accepted * percent / 100)
    broken.clear()
    run(bench, percent)
    accepted, stored, duplicate, dead_in_the_end = since(before, database)
    assert (accepted, stored, duplicate, dead_in_the_end) == (sent, sent - dead, 0, dead)
    assert bench.waiting() == 0


def since(before: tuple[int, ...], database: Database) -> list[int]:
    """What the ledger's sums have grown by."""
    return [now - then for now, then in zip(ledger(database), before, strict=True)]


# Strangers ----------------------------------------------------------------------------------------------------

COLLECTOR = Collector(load_settings({}), lambda _: DAY, lambda _: uuid.uuid4().bytes)
PARAMETERS = ("url", "referrer", "title", "screen", "language", "event", "props", "status", "id")
hostile_urls = wild_texts | st.builds("https://blog.example/{}".format, wild_texts)
hostile_props = st.just(
    '{"a":"\\u0000","\\u0000":1e308,"\\ud83d":"\\udc00","b":-0.0,"c":9223372036854775807}'
)


@given(
    parameters=st.fixed_dictionaries(
        {"url": hostile_urls},
        optional={name: wild_texts | hostile_urls | hostile_props for name in PARAMETERS[1:]},
    ),
    headers=st.lists(wild_texts, min_size=3, max_size=3),
)
@hypothesis_settings(max_examples=examples(150))
def test_no_hit_that_the_pixel_accepts_becomes_a_dead_letter(
    bench: Bench, parameters: dict[str, str], headers: list[str]
) -> None:
    """Whatever a stranger sends: so nobody outside can stop the enricher."""
    agent, referrer, language = headers
    sent = Headers(user_agent=agent, referer=referrer, accept_language=language)
    outcome = COLLECTOR.collect(parameters, sent, "203.0.113.1", NOW_US)
    if isinstance(outcome, Accepted):
        [work] = bench.works(bench.group([outcome.hit]))
        assert work.dead_letters == []
        store = bench.consumer()._open_store()
        store.probe(work.hits)


# Health ----------------------------------------------------------------------------------------------------


def test_the_health_check_of_a_stopped_enricher_fails(bench: Bench, database: Database) -> None:
    port = bench.metrics.serve("127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}/metrics"
    bench.put(bench.group(bad(1)))
    run(bench)
    assert problem_at(url, time.time()) is None
    bench.put(bench.group(bad(30), seq=2))
    run(bench)
    assert problem_at(url, time.time()) == f"{url}: stopped, too many dead letters; see its log"
    assert rows(database, "select count(*) from dead_letters") == [1]
