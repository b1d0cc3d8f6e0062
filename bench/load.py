"""Drives a server with wrk: an exact number of hits, as fast as they are answered or so many a second.

Every figure that needs a load has it from here.
"""

from __future__ import annotations

import array
import contextlib
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.traffic import BROWSER_HEADERS, PATH, Traffic

SCRIPT = Path(__file__).with_name("load.lua")
# Enough to keep group commit busy at 10,000 hits/s; more only makes them wait longer.
CONNECTIONS = 64
LONGEST_S = 300.0


class BenchError(Exception):
    """A measurement cannot be made; the text says why, and what to do."""


@dataclass(frozen=True)
class Load:
    """What wrk saw."""

    answered: int  # with a status below 400
    refused: int  # with a status of 400 or more
    broken: int  # connections that failed: their hits were sent again
    begun_at: float  # the first request, by the monotonic clock
    answered_at: float  # the last answer
    # Of the answers, from a request's sending to its complete answer.
    p50_ms: float
    p99_ms: float
    max_ms: float
    late_ms: float = 0.0  # how much later than due wrk sent a hit (p99): its own fault, not the server's
    times: tuple[float, ...] = ()  # when each hit was answered, by the monotonic clock; of a rate only

    @property
    def hits_per_s(self) -> float:
        """Answers a second."""
        return self.answered / (self.answered_at - self.begun_at)


def find_wrk() -> str:
    """wrk's path. Raises ``BenchError``."""
    found = shutil.which("wrk")
    if found is None:
        raise BenchError(
            "make bench needs the load generator wrk on PATH: install it (apt install wrk, brew install wrk)"
        )
    return found


def read_report(line: str, begun_at: float, answered_at: float, late_us: float = 0.0) -> Load:
    """The last line of load.lua."""
    requests, refused, broken, *us = (int(word) for word in line.split()[1:])
    p50_ms, p99_ms, max_ms = (value / 1000 for value in us)
    return Load(
        requests - refused, refused, broken, begun_at, answered_at, p50_ms, p99_ms, max_ms, late_us / 1000
    )


def _times(folder: Path) -> tuple[float, ...]:
    found = array.array("d")
    found.frombytes((folder / "answered").read_bytes())
    return tuple(found)


@contextlib.contextmanager
def _while_useful(process: subprocess.Popen[str], server_lives: Callable[[], bool]) -> Iterator[None]:
    """Kill wrk, which ends the reading of its output, when it takes too long or has nobody left to ask."""
    done = threading.Event()

    def watch() -> None:
        deadline = time.monotonic() + LONGEST_S
        while not done.wait(0.5):
            if time.monotonic() > deadline or not server_lives():
                process.kill()
                return

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        done.set()
        watching.join()


def drive(
    port: int,
    traffic: Traffic,
    seed: int,
    hits: int,
    folder: Path,
    server_lives: Callable[[], bool],
    *,
    rate: int = 0,
    closing: bool = False,
) -> Load:
    """Send ``hits`` hits to 127.0.0.1. Raises ``BenchError``.

    ``rate``: hits a second, evenly spaced; 0: as fast as they are answered. ``closing``: each over a new connection.
    """
    traffic.write(folder)
    (folder / "headers").write_text(
        BROWSER_HEADERS + ("Connection: close\r\n" if closing else ""), newline=""
    )
    command: list[str | Path] = [
        find_wrk(), "-t1", f"-c{CONNECTIONS}", "-d1h", "-s", SCRIPT, f"http://127.0.0.1:{port}{PATH}",
        "--", folder, str(seed), str(hits), str(CONNECTIONS), str(rate),
    ]  # fmt: skip
    begun = answered = late_us = 0.0
    said: list[str] = []
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
        _while_useful(process, server_lives),
    ):
        for line in process.stdout or ():
            said.append(line.strip())
            if line.startswith("begun"):
                begun = time.monotonic()
            elif line.startswith("answered"):
                answered, late_us = time.monotonic(), float(line.split()[1])
                process.send_signal(signal.SIGINT)
            elif line.startswith("report") and begun and answered:
                load = read_report(line, begun, answered, late_us)
                return replace(load, times=_times(folder)) if rate else load
    if not server_lives():
        raise BenchError("the server under load was ended by somebody")
    raise BenchError(f"wrk did not finish within {LONGEST_S:.0f} s; its last words: {' / '.join(said[-3:])}")
