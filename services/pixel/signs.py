"""What a pixel says of itself in its groups: that it could take hits, from when until now.

Without it nobody could tell an outage from a quiet night. A sign travels with a group of hits; where no hit comes, in
a group of its own without hits (a *beat*). Only a sign that became durable counts: who answers 503 gives none.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from services.hit import Alive

# Beside hits: each costs 20 bytes and the enricher a statement.
SIGN_EVERY_S = 10.0
# Without hits: 2,880 small entries a day.
BEAT_EVERY_S = 30.0
# A break is more than two beats that are missing: one that finds Redis and disk hanging for some seconds is none.
BREAK_S = 75.0


class Signs:
    """The signs of one run. ``wall``: Unix time, which goes on while the machine sleeps; ``steady``: is never set."""

    def __init__(
        self, wall: Callable[[], float] = time.time, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall = wall
        self._steady = steady
        now_us = int(wall() * 1_000_000)
        self._last = Alive(1, now_us, now_us)
        self._said_s = self._tried_s = steady()

    def for_group(self) -> Alive | None:
        """What the next group is to say; None: nothing. ``became_durable`` is to follow if the group did."""
        now_us = int(self._wall() * 1_000_000)
        last = self._last
        # A clock that was set back makes a break, too.
        goes_on = abs(now_us - last.at_us) <= BREAK_S * 1_000_000
        if goes_on and self._steady() - self._said_s < SIGN_EVERY_S:
            return None
        self._tried_s = self._steady()
        if goes_on:
            return Alive(last.stretch, last.since_us, now_us)
        return Alive(last.stretch + 1, now_us, now_us)

    def became_durable(self, sign: Alive) -> None:
        """The group that said it is on disk."""
        self._last = sign
        self._said_s = self._steady()

    @property
    def beat_is_due(self) -> bool:
        """Whether a group is to be written for the sign alone. One that fails is tried again after as long."""
        return self._steady() - max(self._said_s, self._tried_s) >= BEAT_EVERY_S
