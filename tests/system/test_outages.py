"""With Redis or PostgreSQL away the pixel still takes hits, and they are counted later, at their own time."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable

import pytest

from tests.system.stack import Stack, wait_until

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def shaken(make_stack: Callable[..., Stack]) -> Stack:
    """A stack whose servers are stopped and killed."""
    return make_stack(RATE_LIMIT="0")


def send(stack: Stack, page: str, number: int) -> list[float]:
    """Hits that must all be accepted; how long each answer took, in s."""
    seconds = []
    for _ in range(number):
        began = time.monotonic()
        status, headers, _ = stack.get(f"/a?url=https://blog.example{page}")
        seconds.append(time.monotonic() - began)
        assert (status, headers.get("X-Footfall")) == (204, "accepted")
    return seconds


def counted(stack: Stack, page: str) -> int:
    rows = stack.query("select coalesce(sum(pageviews), 0)::int from daily_pages where path = %s", page)
    return int(rows[0][0])


@pytest.mark.parametrize("server", ["redis", "postgres"])
def test_a_server_that_hangs_holds_no_answer_and_loses_no_hit(shaken: Stack, server: str) -> None:
    page = f"/{uuid.uuid4()}"
    send(shaken, page, 3)
    pid = shaken.kill(server, signal.SIGSTOP)
    try:
        # The children of PostgreSQL go on without it; Redis is one process.
        seconds = send(shaken, page, 20)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert max(seconds) < 2
    wait_until(lambda: counted(shaken, page) == 23, 30)
    rows = shaken.query("select count(*), count(distinct hit_id) from hits where path = %s", page)
    assert rows == [(23, 23)]


def test_redis_killed_again_and_again_loses_no_hit(shaken: Stack) -> None:
    page = f"/{uuid.uuid4()}"
    sent = 0
    for _ in range(4):
        former = shaken.kill("redis")
        send(shaken, page, 30)
        sent += 30
        wait_until(lambda former=former: shaken.pid("redis") != former)
    wait_until(lambda: counted(shaken, page) == sent, 60)
    rows = shaken.query("select count(*), count(distinct hit_id) from hits where path = %s", page)
    assert rows == [(sent, sent)]


def test_a_pixel_that_is_killed_with_a_full_spool_sends_it_on(shaken: Stack) -> None:
    page = f"/{uuid.uuid4()}"
    redis_pid = shaken.kill("redis", signal.SIGSTOP)
    try:
        send(shaken, page, 10)
        former = shaken.kill("pixel")
        wait_until(lambda: shaken.pid("pixel") != former)

        def is_ready() -> bool:
            try:
                return b"degraded: redis" in shaken.get("/readyz")[2]
            except OSError:
                return False

        wait_until(is_ready)
        send(shaken, page, 10)
    finally:
        os.kill(redis_pid, signal.SIGCONT)
    wait_until(lambda: counted(shaken, page) == 20, 30)
    wait_until(lambda: shaken.get("/readyz")[2] == b"ready\n")


def test_the_audit_is_clean_afterwards(shaken: Stack) -> None:
    wait_until(lambda: not shaken.query("select 1 from rollup_pending"))
    done = shaken.make("check", check=False)
    assert done.returncode == 0, done.stdout
