"""What `make rebuild` and `python -m services.rollup rebuild` are asked, and the latter's log."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import psycopg

from services.database import Connection, connect
from services.logs import Logger
from services.rollup.compare import days_known
from services.rollup.rebuild import Busy, Rebuilt, rebuild
from services.rollup.redate import Moved, change_timezone
from services.settings import Settings

USAGE = (
    "FROM=2026-11-01 TO=2026-11-07, the first and the last day to count anew,"
    " or TIMEZONE=1 after another REPORT_TIMEZONE"
)
GOES_ON = "run it again: what is right already is passed over"


class BadRange(Exception):
    """What was asked cannot be done; the text says what to write."""


class Range(NamedTuple):
    """Both included."""

    first: datetime.date
    last: datetime.date


def range_of(arguments: Sequence[str]) -> Range | None:
    """The days of ``FROM=2026-11-01 TO=2026-11-07``; None: all, by ``TIMEZONE=1``. Raises ``BadRange``."""
    words = dict.fromkeys(("FROM", "TO", "TIMEZONE"), "")
    for argument in arguments:
        name, is_given, value = argument.partition("=")
        if not is_given or name not in words:
            raise BadRange(f"{argument}: write {USAGE}")
        words[name] = value
    timezone = words.pop("TIMEZONE")
    if timezone:
        if timezone != "1" or any(words.values()):
            raise BadRange("TIMEZONE=1 stands alone: it counts all days anew whose hits are kept")
        return None
    first, last = (_day(name, value) for name, value in words.items())
    if first > last:
        raise BadRange(f"FROM={first} is after TO={last}")
    return Range(first, last)


def _day(name: str, value: str) -> datetime.date:
    if not value:
        raise BadRange(f"{name} is not given: write {USAGE}")
    try:
        return datetime.date.fromisoformat(value)
    except ValueError:
        raise BadRange(f"{name}={value}: no day; write {USAGE}") from None


def steps(connection: Connection, asked: Range | None, retention_days: int) -> Iterator[Moved | Rebuilt]:
    """What was asked, step by step, each committed when it is yielded."""
    if asked is None:
        yield from change_timezone(connection, retention_days)
    else:
        yield from rebuild(connection, days_known(connection, *asked))


def command(arguments: Sequence[str], settings: Settings, log: Logger) -> int:
    """Count days anew, with a log line a day; 0, or 1 with an error that says what to do."""
    days_refused = 0
    try:
        asked = range_of(arguments)
        with connect(settings, "rebuild") as connection:
            for step in steps(connection, asked, settings.retention_days):
                days_refused += isinstance(step, Rebuilt) and bool(step.gone)
                _say(step, log)
    except (BadRange, Busy) as error:
        log.error("cannot-rebuild", problem=str(error))
        return 1
    except KeyboardInterrupt:
        log.info("interrupted", what_to_do=GOES_ON)
        return 130
    except psycopg.Error as error:
        log.error("cannot-rebuild", problem=f"PostgreSQL at DATABASE_URL: {type(error).__name__}",
                  what_to_do=f"is the database up and migrated? {GOES_ON}")  # fmt: skip
        return 1
    return 1 if days_refused else 0


def _say(step: Moved | Rebuilt, log: Logger) -> None:
    if isinstance(step, Moved):
        log.info("redated", day=str(step.day), hits=step.hits)
    elif step.gone:
        log.error("not-rebuilt", day=str(step.day), problem=why_not(step))
    else:
        log.info("rebuilt", day=str(step.day), hits=step.hits, cells=step.cells, titles=step.titles,
                 partition_made=step.partition_made, locked_s=round(step.locked_s, 3))  # fmt: skip


def why_not(rebuilt: Rebuilt) -> str:
    """Why a day was refused."""
    gone = rebuilt.gone[0]
    more = f" (and {len(rebuilt.gone) - 1} other sites)" if len(rebuilt.gone) > 1 else ""
    return (
        f"{gone.site} has {gone.rows} of {gone.stored} hits{more}: the raw hits are not all there any more,"
        " its rollups are kept as they are"
    )
