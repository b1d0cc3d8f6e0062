"""Sends hits to the stack, or to a rival, and counts every answer, so that none may be missing among the rows."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable

from bench.load import BenchError, Load, drive
from bench.rivals import Rival
from bench.stack import Stack
from bench.traffic import SITE, Traffic, make_traffic

Say = Callable[[str], None]

LATE_MS = 5.0  # of a load at a rate: later than this (p99), and the generator waited for the machine


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


class Driver:
    """Each load has visitors not seen before, in this run."""

    # Of all drivers of this process: the same seed would send the same ids, and be stored once.
    _seeds = itertools.count(1)

    def __init__(self, stack: Stack, note: Say) -> None:
        self.stack = stack
        self.note = note  # is told what makes a figure worth less
        self.answered = 0  # by the stack's pixel
        self._part = 0
        self._traffic: Traffic | None = None
        self._late_ms: dict[int, float] = {}

    def traffic(self, site: str = SITE, bots: bool = True) -> Traffic:
        """Of visitors not seen before."""
        self._part += 1
        self._traffic = make_traffic(self._part, site, bots)
        return self._traffic

    def saturate(self, hits: int, port: int | None = None, *, closing: bool = False) -> Load:
        """To the stack's pixel, by ``port`` through a proxy in front of it. Raises ``BenchError``."""
        load = drive(
            port or self.stack.port, self.traffic(), next(self._seeds), hits, self.stack.folder, self.stack.lives,
            closing=closing,
        )  # fmt: skip
        self.answered += load.answered
        if load.refused + load.broken:
            self.note(f"{load.refused} hits refused, {load.broken} connections broken")
        return load

    def saturate_rival(self, rival: Rival, hits: int, *, closing: bool = False) -> Load:
        """To another server. Raises ``BenchError``."""
        return drive(
            rival.port,
            self.traffic(),
            next(self._seeds),
            hits,
            self.stack.folder,
            rival.lives,
            closing=closing,
        )

    def pace(
        self, rate: int, seconds: float, site: str = SITE, *, bots: bool = True, known: bool = False
    ) -> Load:
        """So many hits a second to the stack's pixel; ``known``: of the visitors of the load before.

        Raises ``BenchError`` when one is refused.
        """
        hits = int(rate * seconds)
        traffic = self._traffic if known and self._traffic else self.traffic(site, bots)
        load = drive(
            self.stack.port, traffic, next(self._seeds), hits, self.stack.folder, self.stack.lives, rate=rate,
        )  # fmt: skip
        self.answered += load.answered
        if load.answered < hits:
            raise BenchError(f"{hits - load.answered} of {hits} hits at {rate}/s were refused")
        self._late_ms[rate] = max(load.late_ms, self._late_ms.get(rate, 0.0))
        return load

    def note_lateness(self) -> None:
        """Say by how much the generator itself was late, where that was much."""
        for rate, late_ms in self._late_ms.items():
            if late_ms > LATE_MS:
                self.note(
                    f"at {rate}/s the generator was late by up to {late_ms:.0f} ms (p99): a busy machine"
                )
