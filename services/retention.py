"""How long raw hits are kept: the one rule by which the rollup drops days and the enricher turns late hits away."""

from __future__ import annotations

import datetime


def first_kept_day(today: datetime.date, retention_days: int) -> datetime.date:
    """The oldest day whose raw hits are kept; ``today`` is the date in the reporting time zone.

    A day before it is sealed: its hits are dropped, and a hit of it that comes still is counted and not stored.
    """
    return today - datetime.timedelta(days=retention_days)
