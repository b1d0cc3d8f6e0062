"""The pixel is started again under load: nobody is refused, nothing that was answered is lost or counted twice."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable

import pytest

from tests.system.load import Load
from tests.system.stack import Stack, wait_until

pytestmark = pytest.mark.system
# From the signal until the process is gone, on a busy machine: it may still accept.
DYING_S = 0.5


@pytest.fixture(scope="module")
def restarted(make_stack: Callable[..., Stack]) -> Stack:
    """A stack whose pixel these tests end; no limit, as all hits come from one address."""
    return make_stack(RATE_LIMIT="0")


def restart(stack: Stack, number: int, load: Load) -> float:
    """End the pixel while readers come, until the next one answers them; when the signal was sent."""
    wait_for_answers(load)
    sent_at = time.monotonic()
    former = stack.kill("pixel", number)
    wait_until(lambda: stack.pid("pixel") != former, 20, pause_s=0.01)
    wait_for_answers(load)
    return sent_at


def wait_for_answers(load: Load, number: int = 100) -> None:
    wanted = len(load.answered) + number
    wait_until(lambda: len(load.answered) >= wanted, 30, pause_s=0.01)


def audit(stack: Stack, load: Load) -> None:
    """Each answered hit is stored, once, and the rest of the stack agrees."""
    wait_until(lambda: not stack.query("select 1 from rollup_pending limit 1"), 60)
    wait_until(
        lambda: (
            stack.query("select count(*) from hits where hit_id = any(%s::uuid[])", load.answered)
            == [(len(set(load.answered)),)]
        ),
        60,
    )
    assert len(load.answered) == len(set(load.answered))
    assert stack.query("select count(*) - count(distinct hit_id) from hits") == [(0,)]
    done = stack.make("check", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def port_of(stack: Stack) -> int:
    return int(stack.environ["PIXEL_PORT"])


def socket_that_was_answered(stack: Stack) -> socket.socket:
    """A reader's connection that waits for a next request."""
    connection = socket.create_connection(("127.0.0.1", port_of(stack)), timeout=10)
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: pixel\r\n\r\n")
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    return connection


def test_a_pixel_that_is_told_to_stop_answers_what_it_has_and_nobody_is_refused(restarted: Stack) -> None:
    with Load(port_of(restarted)) as load:
        idle = socket_that_was_answered(restarted)
        for _ in range(2):
            restart(restarted, signal.SIGTERM, load)
    assert (load.refused, load.cut) == ([], [])
    assert idle.recv(1) == b"", "an orderly end"
    idle.close()
    audit(restarted, load)


def test_a_killed_pixel_cuts_only_what_it_had_accepted_and_nobody_is_refused(restarted: Stack) -> None:
    with Load(port_of(restarted)) as load:
        kills = [restart(restarted, signal.SIGKILL, load) for _ in range(2)]
    assert load.refused == []
    # Who came while there was no pixel waited, and was answered by the next one.
    waited = [
        c for c in load.cut if not any(c.connected_at < kill + DYING_S and kill < c.at for kill in kills)
    ]
    assert waited == []
    audit(restarted, load)
