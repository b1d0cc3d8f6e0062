"""SIGKILL of the rollup within a refresh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from services.database import connect
from services.enricher.store import Store
from tests.conftest import Database
from tests.faults.wires import Wires
from tests.make import make_hit
from tests.services.rollup.definition import differences, put
from tools.servers import poll

pytestmark = pytest.mark.servers
WITHIN_S = 60.0


@pytest.fixture
def eye(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with database.connect() as connection:
        yield connection


def waiting(eye: psycopg.Connection[Any]) -> int:
    row = eye.execute("select count(*) from rollup_pending").fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize("is_committed", [False, True], ids=["before the commit", "before its answer"])
def test_a_rollup_killed_within_a_refresh_counts_each_hit_once(
    wires: Wires, eye: Any, is_committed: bool
) -> None:
    with connect(wires.settings, "enricher") as writer:
        put(Store(writer), *(make_hit(session_id=None) for _ in range(200)))
    counted = wires.postgres.trap(b"delete from rollup_pending", "request", "hold")
    process = wires.start("rollup")
    assert counted.reached.wait(WITHIN_S)
    if is_committed:
        answer = wires.postgres.trap(b"COMMIT", "answer", "hold", after=counted)
        wires.postgres.release()
        assert answer.reached.wait(WITHIN_S)
    wires.kill(process)
    assert waiting(eye) == (0 if is_committed else 1)
    wires.start("rollup")
    assert poll(lambda: not waiting(eye), WITHIN_S)
    with connect(wires.settings, "enricher") as writer:
        put(Store(writer), make_hit())
    assert poll(lambda: not waiting(eye), WITHIN_S)
    assert differences(eye, "daily_traffic", "daily_pages", "daily_countries", "daily_referrers") == {}
