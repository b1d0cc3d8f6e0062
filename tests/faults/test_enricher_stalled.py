"""A PostgreSQL that stands still while its wire stays whole holds an enricher up for a while, not for ever."""

from __future__ import annotations

import time

import psycopg
import pytest

from services.enricher import consumer as consumer_module
from tests.conftest import Database
from tests.faults.wires import Wires
from tests.make import make_raw_hit
from tests.services.enricher.parts import Bench
from tools.fault_proxy import Direction

pytestmark = pytest.mark.servers
WITHIN_S = 1.0


@pytest.mark.parametrize("directions", [("request", "answer"), ("answer",)])
def test_an_enricher_gives_up_a_silent_postgresql_and_stores_each_hit_once(
    wires: Wires, database: Database, monkeypatch: pytest.MonkeyPatch, directions: tuple[Direction, ...]
) -> None:
    monkeypatch.setattr(consumer_module, "STORE_WITHIN_S", WITHIN_S)
    bench = Bench(wires.settings)
    try:
        consumer = bench.consumer()
        bench.put(bench.group([make_raw_hit()], seq=1))
        assert consumer.run_once() == 1
        wires.postgres.stall(*directions)
        bench.put(bench.group([make_raw_hit()], seq=2))
        began_s = time.monotonic()
        with pytest.raises((psycopg.OperationalError, OSError)):
            consumer.run_once()
        assert time.monotonic() - began_s < 10 * WITHIN_S
        wires.postgres.heal()
        consumer._after_failure(psycopg.OperationalError(), 0)
        assert consumer.run_once() == 1
        with database.connect() as eye:
            assert eye.execute("select count(*) from hits").fetchall() == [(2,)]
    finally:
        bench.close()
