"""What time and day a hit may have at one moment: not ahead of the clock, and not of a sealed day.

As numbers and ISO dates, so that a hit costs comparisons and no dates are made of it.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from services.retention import first_kept_day

# Clocks of machines that ask for the time agree within a second; hands that set one, within minutes.
CLOCK_TOLERANCE = datetime.timedelta(minutes=5)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
# UTC+14: where a day begins first. A pixel with another REPORT_TIMEZONE may be a day ahead by right.
_EARLIEST_ZONE = datetime.timedelta(hours=14)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The limits at a moment ``now`` of the enricher's clock."""

    now: datetime.datetime
    now_us: int  # Unix time
    today: str  # date in the reporting time zone
    latest_us: int  # a hit received later: the clock of its pixel is ahead
    latest_day: str  # that has begun anywhere: no partition and no session key is made for a later one
    first_kept_day: str  # a hit of an earlier day is too late


def time_limits(now: datetime.datetime, zone: ZoneInfo, retention_days: int) -> TimeLimits:
    """The limits at ``now``, which knows its zone."""
    today = now.astimezone(zone).date()
    latest = now.astimezone(datetime.UTC) + CLOCK_TOLERANCE
    return TimeLimits(
        now=now,
        now_us=_unix_us(now),
        today=today.isoformat(),
        latest_us=_unix_us(latest),
        latest_day=(latest + _EARLIEST_ZONE).date().isoformat(),
        first_kept_day=first_kept_day(today, retention_days).isoformat(),
    )


def _unix_us(moment: datetime.datetime) -> int:
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1)


def moment_of(unix_us: int) -> datetime.datetime:
    """The moment, UTC, of a time as hits have it."""
    return _EPOCH + datetime.timedelta(microseconds=unix_us)
