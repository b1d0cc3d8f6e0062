"""A run: load and faults (or an outage), the wait until all is counted, the audit, the figures."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import redis

from services.hit_stream import STREAM
from tools.chaos import audit
from tools.chaos.injector import Injector
from tools.chaos.scene import Scene
from tools.servers import poll

APART_S = (0.8, 6.0)  # between the beginnings of two faults: some 17 a minute
STATUS_EVERY_S = 10.0
WARM_UP_S = 10.0
SETTLE_WITHIN_S = 600.0
# A backlog is worked off when no more waits than is on its way at any time.
FEW_ENTRIES = 100
PROBE_EVERY_S = 0.5
GATE_RECOVERY_HITS_PER_S = 5_000


class Delays:
    """Asks every half second for an accepted hit until it is stored: how long that takes at the most."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.longest_s = 0.0

    def __enter__(self) -> Delays:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        waiting: dict[object, float] = {}
        while not self._stopping.wait(PROBE_EVERY_S):
            newest = self._scene.load.newest_accepted
            if newest is not None:
                waiting.setdefault(newest.hit_id, newest.answered_at)
            with contextlib.suppress(psycopg.Error), self._scene.ground.connect() as connection:
                rows = connection.execute(
                    "select hit_id from stored_hits where hit_id = any(%s)", [list(waiting)]
                ).fetchall()
                for (hit_id,) in rows:
                    self.longest_s = max(self.longest_s, time.time() - waiting.pop(hit_id))


class Run:
    """One run on a stack that is up. Its methods say whether nothing differed."""

    def __init__(self, scene: Scene, say: Callable[[str], None]) -> None:
        self._scene = scene
        self._ground = scene.ground
        self._load = scene.load
        self._say = say
        self._figures: dict[str, str] = {}
        self._problems: list[str] = []

    def faults(self, seed: int, seconds: float, names: tuple[str, ...]) -> bool:
        """Faults by the seed, or the named ones, under load."""
        share_s = seconds / len(names) if names else 0.0
        apart_s = (share_s / 2, share_s * 1.5) if names else APART_S
        injector = Injector(self._scene, seed, apart_s, self._say)
        with self._status(), Delays(self._scene) as delays:
            self._load.start()
            injector.run(time.monotonic() + seconds, names)
            self._load.stop()
            self._settle()
        self._problems += injector.failed
        for name, number in sorted(injector.done.items()):
            self._say(f"{number:5}  {name}")
        self._figures["faults"] = str(injector.done.total())
        self._figures["longest_delay_until_stored_s"] = f"{delays.longest_s:.1f}"
        return self._audit()

    def outage(self, server: str, seconds: float) -> bool:
        """One server is away for so long, under load; the load goes on until the backlog is worked off."""
        with self._status():
            self._load.start()
            time.sleep(WARM_UP_S)
            self._ground.take_away(server)
            self._say(f"{server} is away")
            time.sleep(seconds)
            self._recover(server)
            self._load.stop()
            self._settle()
        return self._audit()

    def _recover(self, server: str) -> None:
        began, accepted = time.monotonic(), self._load.counts["accepted"]
        self._ground.give_back(server)
        ready, before = time.monotonic(), self._rows()
        self._say(f"{server} is back after {ready - began:.1f} s")
        if not poll(self._backlog_is_done, SETTLE_WITHIN_S, 0.1):
            self._problems.append(f"the backlog was not rows within {SETTLE_WITHIN_S:.0f} s")
        took_s = time.monotonic() - ready
        rows = self._rows() - before
        speed = rows / took_s
        self._figures["backlog_hits"] = str(accepted - before)
        self._figures["recovery_s"] = f"{took_s:.1f}"
        self._figures["recovery_hits_per_s"] = f"{speed:.0f}"
        if speed < GATE_RECOVERY_HITS_PER_S:
            self._problems.append(f"recovery_hits_per_s {speed:.0f} is under {GATE_RECOVERY_HITS_PER_S}")

    def _rows(self) -> int:
        return self._ground.number("select sum(stored) from ledger")

    def _backlog_is_done(self) -> bool:
        try:
            said = self._ground.readiness()
            has_drained = said.startswith("ready") and "spool" not in said  # busy, it may not say anything
            return has_drained and self._ground.redis.xlen(STREAM) < FEW_ENTRIES
        except redis.RedisError:
            return False

    def _settle(self) -> None:
        self._say("load and faults are over; waiting until all is counted")
        if not poll(self._ground.is_settled, SETTLE_WITHIN_S, 0.2):
            self._problems.append(f"not settled within {SETTLE_WITHIN_S:.0f} s: {self._ground.readiness()!r}")

    @contextlib.contextmanager
    def _status(self) -> Iterator[None]:
        """A line now and then."""
        stopping = threading.Event()

        def tell() -> None:
            while not stopping.wait(STATUS_EVERY_S):
                stored = "?"
                with contextlib.suppress(psycopg.Error):
                    stored = str(self._rows())
                self._say(f"sent {len(self._load.sent)}, {self._answers()}, stored {stored}")

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopping.set()
            thread.join()

    def _answers(self) -> str:
        return ", ".join(f"{name} {number}" for name, number in sorted(self._load.counts.items()))

    def _audit(self) -> bool:
        sent = self._load.sent
        longest_s, slow = audit.slow_answers(sent, self._scene.pixel_away)
        if slow:
            examples = ", ".join(f"{s.answered_at - s.sent_at:.2f} s at {s.sent_at:.0f}" for s in slow[:5])
            self._problems.append(f"{len(slow)} answers took over {audit.LONGEST_ANSWER_S} s: {examples}")
        self._problems += audit.differences(self._ground, sent)
        if found := audit.check():
            self._problems.append(f"make check: {found}")
        counts = self._load.counts
        figures = {
            "sent": len(sent),
            **{name: counts[name] for name in ("accepted", "refused", "unanswered", "unsent")},
            "stored": self._rows(),
            "dead_lettered": self._ground.number("select sum(dead_lettered) from ledger"),
            "longest_answer_ms": f"{longest_s * 1000:.0f}",
            **self._figures,
        }
        for name, value in figures.items():
            self._say(f"{name} {value}")
        for status, number in self._load.refusals.items():
            self._say(f"refused with {status}: {number}")
        for problem in self._problems:
            self._say(f"DIFFERS: {problem}")
        return not self._problems
