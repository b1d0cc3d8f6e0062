"""Keeps the processes of `make run` running: starts them in order, again when they die, and stops them in order."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.listening import AWAY_AFTER_S, turn_away
from tools.servers import ServerError, poll

# The order of starting; the order of stopping is pixel, enricher, rollup, grafana, redis, postgres.
STOP_ORDER = ("pixel", "enricher", "rollup", "grafana", "redis", "postgres")
# Together under the 15 s in which all must have stopped; then SIGKILL.
STOP_WITHIN_S = {"pixel": 3.0, "enricher": 2.5, "rollup": 2.2, "grafana": 1.0, "redis": 1.5, "postgres": 2.5}
EXCHANGE_WITHIN_S = 10.0  # for the old one to end when a new one works already
START_WITHIN_S = 60.0
SETTLED_AFTER_S = 10.0  # a child that ran this long begins again with the shortest pause
LONGEST_PAUSE_S = 10.0


def say(text: str) -> None:
    """A line for the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Nobody ever reads half of it."""
    scratch = path.with_name(f".{path.name}.new")
    scratch.touch(mode=mode)
    scratch.write_text(text)
    scratch.rename(path)


@dataclass
class Child:
    """A process that is kept running."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    stop_signal: int
    is_ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    pause_s: float = 0.1
    start_again_at: float | None = None
    failing_since: float = 0.0  # its first end since it ran for a while

    @property
    def kind(self) -> str:
        """What it is: of several pixels each is a `pixel`."""
        return self.name.partition("-")[0]

    @property
    def running(self) -> subprocess.Popen[bytes]:
        """Its process, which was started."""
        assert self.process is not None  # noqa: S101
        return self.process

    def launch(self, run_folder: Path) -> None:
        """Start it and note its process id."""
        self.note(self.start(), run_folder)

    def note(self, process: subprocess.Popen[bytes], run_folder: Path) -> None:
        """This is its process now."""
        self.process = process
        self.started_at = time.monotonic()
        self.start_again_at = None
        write_atomically(run_folder / f"{self.name}.pid", f"{self.process.pid}\n")


def stop_children(children: list[Child], within_s: float) -> None:
    """End them together, by force when it takes longer."""
    running = [child for child in children if child.process is not None and child.process.poll() is None]
    for child in running:
        child.running.send_signal(child.stop_signal)
    deadline = time.monotonic() + within_s
    for child in running:
        try:
            child.running.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            say(f"{child.name} did not stop in {within_s} s: killed")
            child.running.kill()
            child.running.wait()


@dataclass
class Supervisor:
    """Keeps children running until told to stop."""

    run_folder: Path
    children: list[Child] = field(default_factory=list)
    # On which the pixel accepts: they stay open while it is started again, and connections wait in them.
    sockets: list[socket.socket] = field(default_factory=list)
    # Set by a signal handler: a plain flag, because an Event's lock may be held by the very code it interrupts.
    stopping: bool = False
    renewal_asked: bool = False

    def add(self, *children: Child) -> None:
        """Start children together and wait until all are ready. Raises ``ServerError``."""
        for child in children:
            self.children.append(child)
            child.launch(self.run_folder)
        for child in children:
            self._await(child)

    def drop(self, child: Child) -> None:
        """Stop a child and keep it running no longer."""
        stop_children([child], STOP_WITHIN_S[child.kind])
        self.children.remove(child)
        (self.run_folder / f"{child.name}.pid").unlink(missing_ok=True)

    def _await(self, child: Child) -> None:
        def settled() -> bool:
            ended = child.process is None or child.process.poll() is not None
            return ended or self.stopping or child.is_ready()

        poll(settled, START_WITHIN_S, 0.03)
        if self.stopping:
            raise KeyboardInterrupt
        if child.process is None or child.process.poll() is not None or not child.is_ready():
            raise ServerError(f"{child.name} did not start; its last words stand above, or in DATA_DIR/log")

    def request_stop(self, *_: object) -> None:
        """A signal's handler."""
        self.stopping = True

    def request_renewal(self, *_: object) -> None:
        """A signal's handler."""
        self.renewal_asked = True

    def watch(self, renew: Callable[[], None]) -> None:
        """Until ``stopping``: start again what ended, at once the first time, then with a longer pause.

        Calls ``renew`` when that was asked for.
        """
        while not self.stopping:
            time.sleep(0.05)
            self._look_after_all()
            if self.renewal_asked:
                self.renewal_asked = False
                renew()

    def _look_after_all(self) -> None:
        for child in self.children:
            self._look_after(child)

    def exchange(self, successor: Child) -> None:
        """Start it beside the child of its name, and when it is ready stop that one, which goes on otherwise.

        Raises ``ServerError`` when it does not get ready.
        """
        started = successor.start()

        def settled() -> bool:
            self._look_after_all()  # the others may need it meanwhile
            return started.poll() is not None or self.stopping or successor.is_ready()

        poll(settled, START_WITHIN_S)
        if started.poll() is not None or not successor.is_ready():
            started.kill()
            started.wait()
            raise ServerError(f"the new {successor.name} did not get ready; the old one goes on")
        [place] = [place for place, child in enumerate(self.children) if child.name == successor.name]
        former = self.children[place]
        successor.note(started, self.run_folder)
        self.children[place] = successor
        stop_children([former], EXCHANGE_WITHIN_S)

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.start_again_at is not None:
            if now >= child.start_again_at:
                child.launch(self.run_folder)
            elif child.kind == "pixel" and self._nobody_accepts(now):
                self._turn_readers_away()
            return
        if child.process is None or child.process.poll() is None:
            return
        if now - child.started_at > SETTLED_AFTER_S:
            child.pause_s = 0.1
        if child.pause_s == 0.1:
            child.failing_since = now
        code = child.process.returncode
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        say(f"{child.name} ended ({how}); starting it again in {child.pause_s:.1f} s")
        child.start_again_at = now + child.pause_s
        child.pause_s = min(child.pause_s * 3, LONGEST_PAUSE_S)

    def _nobody_accepts(self, now: float) -> bool:
        pixels = [child for child in self.children if child.kind == "pixel"]
        return all(
            item.start_again_at is not None and now - item.failing_since > AWAY_AFTER_S for item in pixels
        )

    def _turn_readers_away(self) -> None:
        number = sum(turn_away(item) for item in self.sockets)
        if number:
            say(f"no pixel accepts: {number} connections answered 503")

    def stop(self) -> None:
        """Stop all children in order."""
        for item in self.sockets:
            item.close()  # the pixel's own copies go with it: nobody is left waiting for what does not come
        for kind in STOP_ORDER:
            stop_children([child for child in self.children if child.kind == kind], STOP_WITHIN_S[kind])
        for child in self.children:
            (self.run_folder / f"{child.name}.pid").unlink(missing_ok=True)
