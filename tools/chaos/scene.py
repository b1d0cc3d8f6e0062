"""What a fault is, and what it may touch."""

from __future__ import annotations

import contextlib
import random
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tools.chaos.load import Load
from tools.chaos.stack import Ground
from tools.servers import poll

BACK_WITHIN_S = 60.0


class Scene:
    """What a fault may touch: the stack, the load, and the times at which the pixel could not answer."""

    def __init__(self, ground: Ground, load: Load) -> None:
        self.ground = ground
        self.load = load
        # By the wall clock, from the fault until it answers again.
        self.pixel_away: list[tuple[float, float]] = []

    @contextlib.contextmanager
    def pixel_fault(self) -> Iterator[None]:
        """The pixel itself is stopped or killed in the body."""
        began = time.time()
        self.pixel_away.append((began, float("inf")))
        place = len(self.pixel_away) - 1
        try:
            yield
        finally:
            if not poll(self._pixel_lives, BACK_WITHIN_S):
                raise TimeoutError("the pixel did not come back")
            self.pixel_away[place] = (began, time.time())

    def _pixel_lives(self) -> bool:
        url = self.ground.stack.urls()["PIXEL_URL"]
        try:
            with urllib.request.urlopen(f"{url}/livez", timeout=2) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except OSError:
            return False


Work = Callable[[Scene, random.Random], str]


class Fault(NamedTuple):
    """One kind."""

    name: str
    target: str  # two faults of one target are not done at once
    weight: int
    work: Work
