"""Does faults in an order that the seed decides: one after the other, and some at once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import redis

from tools.chaos.faults import FAULTS
from tools.chaos.scene import Fault, Scene


class Injector:
    """One run's faults."""

    def __init__(
        self, scene: Scene, seed: int, apart_s: tuple[float, float], say: Callable[[str], None]
    ) -> None:
        self._scene = scene
        self._seed = seed
        self._dice = random.Random(f"faults {seed}")
        self._apart_s = apart_s
        self._say = say
        self._locks = {fault.target: threading.Lock() for fault in FAULTS}
        self._threads: list[threading.Thread] = []
        self.done: Counter[str] = Counter()
        self.failed: list[str] = []

    def plan(self, names: tuple[str, ...] = ()) -> Iterator[tuple[float, Fault]]:
        """Pause before, and fault; without end unless they are named."""
        if names:
            known = {fault.name: fault for fault in FAULTS}
            yield from ((self._dice.uniform(*self._apart_s), known[name]) for name in names)
            return
        while True:
            (fault,) = self._dice.choices(FAULTS, [fault.weight for fault in FAULTS])
            yield self._dice.uniform(*self._apart_s), fault

    def run(self, until: float, names: tuple[str, ...] = ()) -> None:
        """Until then by the monotonic clock, or until the named ones are done; then undo all."""
        for number, (pause_s, fault) in enumerate(self.plan(names)):
            time.sleep(max(0.0, min(pause_s, until - time.monotonic())))
            if time.monotonic() >= until and not names:
                break
            thread = threading.Thread(target=self._do, args=(number, fault), daemon=True)
            thread.start()
            self._threads.append(thread)
        for thread in self._threads:
            thread.join()
        for proxy in self._scene.ground.wires.values():
            proxy.heal()

    def _do(self, number: int, fault: Fault) -> None:
        with self._locks[fault.target]:
            try:
                said = fault.work(self._scene, random.Random(f"{self._seed} {number}"))
                self.done[fault.name] += 1
                self._say(f"fault {number + 1:4}  {fault.name}  {said}")
            except TimeoutError as error:
                self.failed.append(f"{fault.name}: {error}")
                self._say(f"fault {number + 1:4}  {fault.name}  FAILED: {error}")
            except (psycopg.Error, redis.RedisError, OSError) as error:
                # Another fault took the server away under this one's hands.
                self._say(f"fault {number + 1:4}  {fault.name}  not done: {type(error).__name__}")
