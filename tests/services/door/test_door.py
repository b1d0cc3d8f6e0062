"""The door has the port; pixels come and go behind it, and it may go too."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.health import problem_at
from services.listening import AWAY_AFTER_S
from tests.services.pixel.test_app import ROOT, Pixel
from tools.servers import free_port, poll, spawn

pytestmark = pytest.mark.servers


class Door:
    """A door, and pixels that ask it."""

    def __init__(self, redis_url: str) -> None:
        self._redis_url = redis_url
        self._folder = Path(tempfile.mkdtemp(prefix="footfall-door-"))
        self.socket = self._folder / "socket"
        self.port = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.start()

    def start(self) -> None:
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PIXEL_PORT": str(self.port)}
        command = [sys.executable, "-m", "services.door"]
        self.process = spawn(command, environ=environ | {"PIXEL_DOOR": str(self.socket)})
        self._processes.append(self.process)
        assert poll(self.socket.exists, 20)

    def make_pixel(self) -> Pixel:
        pixel = Pixel(self._redis_url, {"PIXEL_DOOR": str(self.socket)})
        self._processes.append(pixel.process)
        assert poll(lambda: ready_line(pixel) == "ready\n", 20), ready_line(pixel)
        return pixel

    def ask(self, path: str = "/livez") -> int:
        """The status of an answer on a connection to the door's port. Raises OSError."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait(20)


def ready_line(pixel: Pixel) -> str:
    return pixel.ask("/readyz").line


@pytest.fixture
def make_door(redis_url: str) -> Iterator[Callable[[], Door]]:
    doors: list[Door] = []

    def make() -> Door:
        doors.append(Door(redis_url))
        return doors[-1]

    yield make
    for door in doors:
        door.close()


def test_pixels_take_turns_and_one_that_comes_late_answers_who_waited(make_door: Callable[[], Door]) -> None:
    door = make_door()
    first, second = door.make_pixel(), door.make_pixel()
    assert [door.ask() for _ in range(20)] == [200] * 20
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(20) == 0
    assert [door.ask() for _ in range(20)] == [200] * 20
    second.process.kill()
    second.process.wait(20)
    with ThreadPoolExecutor() as reader:
        waiting = reader.submit(door.ask)
        door.make_pixel()
        assert waiting.result(60) == 200


def test_where_no_pixel_comes_readers_are_told_and_a_health_check_is_none(
    make_door: Callable[[], Door],
) -> None:
    """Else a page would wait for its pixel's image as long as the browser does."""
    door = make_door()
    began_s = time.monotonic()
    with ThreadPoolExecutor() as readers:
        waiting = [readers.submit(door.ask) for _ in range(3)]
        while not all(answer.done() for answer in waiting):
            assert problem_at(str(door.socket), time.time()) is None, "as Docker asks it"
            assert time.monotonic() - began_s < 60
            time.sleep(0.2)
    assert [answer.result() for answer in waiting] == [503] * 3
    assert time.monotonic() - began_s > AWAY_AFTER_S - 1
    door.make_pixel()
    assert [door.ask() for _ in range(20)] == [200] * 20


def test_a_pixel_asks_again_when_the_door_was_killed_and_says_so_meanwhile(
    make_door: Callable[[], Door],
) -> None:
    door = make_door()
    pixel = door.make_pixel()
    door.process.kill()
    door.process.wait(20)
    assert poll(lambda: ready_line(pixel) == "ready; degraded: door\n", 20), ready_line(pixel)
    door.socket.unlink()
    door.start()
    assert poll(lambda: ready_line(pixel) == "ready\n", 20), ready_line(pixel)
    assert door.ask() == 200


def test_the_peer_of_a_borrowed_socket_is_the_reader(make_door: Callable[[], Door]) -> None:
    door = make_door()
    pixel = door.make_pixel()
    assert door.ask("/a?url=https%3A%2F%2Fblog.example%2F") == 204
    [hit] = pixel.hits()
    assert hit.address == "127.0.0.1"


def test_a_door_ends_when_it_is_told_to(make_door: Callable[[], Door]) -> None:
    door = make_door()
    door.process.send_signal(signal.SIGTERM)
    assert door.process.wait(20) == 0


def test_a_taken_port_is_an_error_that_names_it(make_door: Callable[[], Door], tmp_path: Path) -> None:
    door = make_door()
    environ = {"PATH": os.environ["PATH"], "PIXEL_PORT": str(door.port), "PIXEL_DOOR": str(tmp_path / "s")}
    done = subprocess.run(
        [sys.executable, "-m", "services.door"], cwd=ROOT, env=environ, capture_output=True, text=True,
        check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode == 1
    assert "PIXEL_PORT" in done.stderr
