"""`make run` as its operator meets it: stops in order, leaves nothing behind, says what is wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from tests.system.stack import NAMES, ROOT, Stack, wait_until

pytestmark = pytest.mark.system


def is_alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_data_survive_a_restart_and_a_stop_takes_under_15_s(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.get("/a?url=https://blog.example/kept")
    wait_until(lambda: stack.query("select 1 from daily_pages where path = '/kept'"))
    pids = [stack.pid(name) for name in NAMES]
    began = time.monotonic()
    stack.stop(signal.SIGTERM, within_s=15)
    assert time.monotonic() - began < 15
    assert not any(map(is_alive, pids))
    began = time.monotonic()
    stack.start(within_s=30)
    assert time.monotonic() - began < 20
    assert stack.query("select pageviews from daily_pages where path = '/kept'") == [(1,)]


def test_a_stop_of_the_process_group_loses_nothing(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    for number in range(50):
        assert stack.get(f"/a?url=https://blog.example/{number}")[0] == 204
    assert stack.process is not None
    os.killpg(stack.process.pid, signal.SIGTERM)
    stack.process.wait(15)
    stack.start(within_s=30)
    wait_until(lambda: stack.query("select count(*) from hits") == [(50,)])


@pytest.mark.parametrize("victim", ["make", "supervisor"])
def test_a_killed_supervisor_leaves_no_child(make_stack: Callable[..., Stack], victim: str) -> None:
    stack = make_stack()
    pids = [stack.pid(name) for name in NAMES]
    assert stack.process is not None
    parent = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(stack.process.pid if victim == "make" else parent, signal.SIGKILL)
    # The supervisor too: where make was killed it stops by itself, and takes its addresses away last of all.
    wait_until(lambda: not any(map(is_alive, [*pids, parent])), 15)
    stack.process.wait(15)
    stack.start(within_s=30)


def test_a_child_that_dies_is_started_again_within_a_second(stack: Stack) -> None:
    former = stack.kill("pixel")
    began = time.monotonic()
    wait_until(lambda: stack.pid("pixel") != former, 5, pause_s=0.01)
    assert time.monotonic() - began < 1
    wait_until(lambda: "pixel ended (signal SIGKILL)" in stack.log.read_text())

    def answers() -> bool:
        try:
            return stack.get("/livez")[0] == 200
        except OSError:
            return False

    wait_until(answers)


def test_a_taken_port_is_named_with_its_variable(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(start=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", int(stack.environ["REDIS_PORT"])))
        taken.listen()
        done = stack.make("run", check=False)
    assert done.returncode != 0
    assert f"REDIS_PORT: port {stack.environ['REDIS_PORT']} is taken" in done.stderr


def test_all_bad_settings_are_reported_at_once(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(start=False, REPORT_TIMEZONE="Mars/Olympus", RETENTION_DAYS="soon", SITES="http://x/")
    done = stack.make("run", check=False)
    assert done.returncode != 0
    for name in ("REPORT_TIMEZONE", "RETENTION_DAYS", "SITES"):
        assert f"{name}: " in done.stderr


def test_urls_prints_addresses_that_work_and_nothing_else(stack: Stack) -> None:
    names = set(stack.urls)
    services = {f"{name}_METRICS_URL" for name in ("PIXEL", "ENRICHER", "ROLLUP")}
    assert names == {"PIXEL_URL", "DATABASE_URL", "OWNER_DATABASE_URL", "REDIS_URL", "GRAFANA_URL"} | services
    with stack.connect("analyst") as connection:
        assert connection.execute("select count(*) >= 0 from hits").fetchone() == (True,)
        with pytest.raises(psycopg.Error):
            connection.execute("insert into installation default values")
    for name in services:
        answer = subprocess.run(
            ["python3", "-m", "services.health", stack.urls[name]], cwd=ROOT, check=False, capture_output=True
        )
        assert answer.returncode == 0, answer.stderr


def test_urls_without_a_stack_says_what_to_do(make_stack: Callable[..., Stack]) -> None:
    done = make_stack(start=False).make("urls", check=False)
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert "make run" in done.stderr


def test_a_second_supervisor_of_the_same_folder_is_refused(stack: Stack) -> None:
    done = stack.make("run", check=False)
    assert done.returncode != 0
    assert "runs already" in done.stderr
