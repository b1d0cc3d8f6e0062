"""The pixel's time: the day of a moment in the reporting time zone, and ids that sort by time."""

from __future__ import annotations

import datetime
import secrets
from zoneinfo import ZoneInfo


class DayClock:
    """The date of a moment in the reporting time zone; costs a comparison until midnight."""

    def __init__(self, timezone: ZoneInfo) -> None:
        self._timezone = timezone
        self._from_us = self._until_us = 0
        self._day = ""

    def day_of(self, now_us: int) -> str:
        """``2026-11-22``"""
        if not self._from_us <= now_us < self._until_us:
            self._turn(now_us)
        return self._day

    def _turn(self, now_us: int) -> None:
        # By the quarter of an hour: every zone's offset has changed on such a boundary since 1972, so that
        # days of 23 and 25 hours and skipped dates need no rule of their own.
        quarter_us = 900_000_000
        self._from_us = now_us - now_us % quarter_us
        self._until_us = self._from_us + quarter_us
        moment = datetime.datetime.fromtimestamp(self._from_us / 1_000_000, self._timezone)
        self._day = moment.date().isoformat()


class HitIds:
    """UUIDs of version 7 (RFC 9562): milliseconds, then a counter that begins at random.

    The counter saves drawing random bytes for each hit (0.4 µs against 1.2 µs); two processes that begin
    at the same 74-bit number in the same millisecond are not to be expected.
    """

    def __init__(self) -> None:
        self._counter = secrets.randbits(74)

    def make(self, now_us: int) -> bytes:
        """The next id."""
        self._counter = counter = (self._counter + 1) & ((1 << 74) - 1)
        high, low = counter >> 62, counter & ((1 << 62) - 1)
        number = ((now_us // 1000) & ((1 << 48) - 1)) << 80 | 7 << 76 | high << 64 | 2 << 62 | low
        return number.to_bytes(16, "big")
