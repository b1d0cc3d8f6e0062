"""The pixel is started again under load: nobody is refused, nothing that was answered is lost or counted twice."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.load import Load
from tests.system.stack import NAMES, ROOT, Stack, free_ports, wait_until

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


def warnings(stack: Stack) -> str:
    """What the services said beside the usual: why a hit was refused stands there."""
    return "\n".join(line for line in stack.log.read_text().splitlines() if '"level": "warning"' in line)


def port_of(stack: Stack) -> int:
    return int(stack.environ["PIXEL_PORT"])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


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
    assert (load.refused, load.cut) == ([], []), warnings(restarted)
    assert idle.recv(1) == b"", "an orderly end"
    idle.close()
    audit(restarted, load)


def test_a_killed_pixel_cuts_only_what_it_had_accepted_and_nobody_is_refused(restarted: Stack) -> None:
    with Load(port_of(restarted)) as load:
        kills = [restart(restarted, signal.SIGKILL, load) for _ in range(2)]
    assert load.refused == [], warnings(restarted)
    # Who came while there was no pixel waited, and was answered by the next one.
    waited = [
        c for c in load.cut if not any(c.connected_at < kill + DYING_S and kill < c.at for kill in kills)
    ]
    assert waited == []
    audit(restarted, load)


def test_what_a_second_pixel_of_the_same_folder_left_in_its_spool_is_counted(restarted: Stack) -> None:
    """As while one takes the place of another: with Redis away both keep hits, then the second is killed."""
    port = free_ports(1)[0]
    environ = restarted.environ | {"PIXEL_PORT": str(port), "REDIS_URL": restarted.urls["REDIS_URL"]}
    second = subprocess.Popen([sys.executable, "-m", "services.pixel"], cwd=ROOT, env=environ)
    try:
        wait_until(lambda: listens(port))
        redis = restarted.kill("redis", signal.SIGSTOP)
        try:
            with (
                Load(port_of(restarted), keep_alive=1, new=0) as own,
                Load(port, keep_alive=1, new=0) as left,
            ):
                wait_for_answers(own, 5)
                wait_for_answers(left, 5)
        finally:
            second.kill()
            second.wait(20)
            os.kill(redis, signal.SIGCONT)
    finally:
        second.kill()
    assert (restarted.data_dir / "spool/2/groups").stat().st_size > 0
    audit(restarted, left)
    audit(restarted, own)
    assert (restarted.data_dir / "spool/2/groups").stat().st_size == 0


def renew(stack: Stack) -> str:
    """What the supervisor says of a renewal of its services; empty: all went well."""
    outcome = stack.data_dir / "run/renewed"
    outcome.unlink(missing_ok=True)
    os.kill(stack.pid("supervisor"), signal.SIGUSR1)
    wait_until(outcome.exists, 90)
    return outcome.read_text()


def test_services_are_renewed_beside_the_former_ones_and_nobody_notices(restarted: Stack) -> None:
    former = {name: restarted.pid(name) for name in NAMES}
    with Load(port_of(restarted)) as load:
        assert renew(restarted) == ""
        wait_for_answers(load)
    assert (load.refused, load.cut) == ([], [])
    renewed = {name for name in NAMES if restarted.pid(name) != former[name]}
    assert renewed == {"pixel", "enricher", "rollup"}
    restarted.urls = restarted.make_urls()  # metrics answer elsewhere now
    audit(restarted, load)


def test_a_service_that_does_not_get_ready_does_not_take_over(restarted: Stack) -> None:
    spool = restarted.data_dir / "spool"
    aside = spool.rename(spool.with_name("aside"))
    spool.touch()  # a file, in which there is no slot
    former = restarted.pid("pixel")
    with Load(port_of(restarted)) as load:
        assert "the new pixel did not get ready" in renew(restarted)
        wait_for_answers(load)
    spool.unlink()
    aside.rename(spool)
    assert (restarted.pid("pixel"), load.refused, load.cut) == (former, [], [])


def test_where_the_pixel_does_not_come_back_readers_are_told(restarted: Stack) -> None:
    spool = restarted.data_dir / "spool"
    aside = spool.rename(spool.with_name("aside"))
    spool.touch()  # a file, in which there is no slot: the pixel ends at each start
    restarted.kill("pixel")

    def answer() -> tuple[int, str | None]:
        try:
            status, headers, _ = restarted.get("/livez")
        except OSError:  # its own patience ended
            return 0, None
        return status, headers.get("Retry-After")

    try:
        wait_until(lambda: answer() == (503, "5"), 90)
    finally:
        spool.unlink()
        aside.rename(spool)
    wait_until(lambda: answer()[0] == 200, 60)


def accepted_by(stack: Stack, name: str) -> float:
    """Hits that a pixel has made durable since its start."""
    with urllib.request.urlopen(stack.urls[name], timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line for line in lines if line.startswith("footfall_pixel_hits_accepted ")).split()[1])


def test_pixels_share_a_port_and_each_is_missed_by_nobody(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(RATE_LIMIT="0", PIXEL_WORKERS="3")
    names = ("pixel", "pixel-2", "pixel-3")
    with Load(port_of(stack)) as load:
        metrics = [name for name in stack.urls if name.startswith("PIXEL_") and name.endswith("_METRICS_URL")]
        assert len(metrics) == len(names)
        wait_until(lambda: all(accepted_by(stack, name) for name in metrics))
        for name in names:
            former = stack.kill(name, signal.SIGTERM)
            wait_until(lambda name=name, former=former: stack.pid(name) != former, 20, pause_s=0.01)  # type: ignore[misc]
        before = {name: stack.pid(name) for name in names}
        assert renew(stack) == ""
        wait_for_answers(load)
    assert (load.refused, load.cut) == ([], []), warnings(stack)
    assert all(stack.pid(name) != before[name] for name in names)
    stack.urls = stack.make_urls()
    audit(stack, load)
    pids = [stack.pid(name) for name in names]
    stack.stop(within_s=15)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 15)
