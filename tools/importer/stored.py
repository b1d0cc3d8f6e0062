"""What the database says of an import: what is there already, which days are sealed, whether all is counted."""

from __future__ import annotations

import datetime
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import psycopg

from services.hit import RawHit
from services.rollup.days import kept_days
from services.rollup.sessions import count_sessions
from services.rollup.upkeep import seal
from services.settings import Settings
from services.sites import text_of
from tools.past_hits import PAUSE_S, STANDS_STILL_S, CannotWrite

Connection = psycopg.Connection[Any]

THERE = """-- import: there
select h.hit_id
from stored_hits h
where h.day = %(day)s and h.site_id in (select site_id from sites where site = any(%(sites)s))
  and h.hit_id = any(%(ids)s)
"""
BEGIN = """-- import: begin
insert into imports as i (import_id, one_off_key) values (%(import_id)s, %(key)s)
on conflict (import_id) do update set one_off_key = excluded.one_off_key, began_at = now()
"""
# A day with hits that are dropped takes no more: whether they are there already could not be told.
OPEN_DAY = """-- import: open_day
update imports
set days = case when %(day)s::date = any(days) then days else days || %(day)s::date end
where import_id = %(import_id)s
  and (exists (select from imports where %(day)s::date = any(days))
       or not exists (select from ledger where day = %(day)s::date and stored > 0))
returning true
"""
# One that was sealed before RETENTION_DAYS was raised.
IS_DROPPED = """-- import: is_dropped
select to_regclass('hits_days.d' || to_char(%(day)s::date, 'YYYYMMDD')) is null
   and exists (select from ledger where day = %(day)s::date and stored > 0)
"""
# Upkeep is a day or two behind at most.
KEPT_LONGER = """-- import: kept_longer
select min(day)
from ledger
where stored > 0 and day < %(first_kept)s::date - 2
  and to_regclass('hits_days.d' || to_char(day, 'YYYYMMDD')) is not null
  and not exists (select from imports where ledger.day = any(days))
"""
STILL_WAITING = """-- import: still_waiting
select exists (select from rollup_pending where batch_id <= %(batch_id)s)
"""


class WrongSettings(Exception):
    """The settings here are not the installation's; the text says which."""


class NotSealed(Exception):
    """Days beyond the retention stay as they are; the text says why and what to do."""


def check_settings(connection: Connection, settings: Settings, first_kept: datetime.date) -> None:
    """Raises ``WrongSettings`` where days or sites would be others than of live hits, or sealed too early."""
    [(zone, sites)] = connection.execute("select report_timezone, sites from installation").fetchall()
    for name, here, there in (
        ("REPORT_TIMEZONE", settings.report_timezone.key, zone),
        ("SITES", text_of(settings.sites), sites),
    ):
        if there and here != there:
            raise WrongSettings(
                f"{name} is {here} here and {there} in the stack that runs: set it as there, and RETENTION_DAYS too"
            )
    [(older,)] = connection.execute(KEPT_LONGER, {"first_kept": first_kept}).fetchall()
    if older:
        raise WrongSettings(
            f"RETENTION_DAYS is {settings.retention_days} here, and the stack that runs keeps hits of {older}: set "
            "it as there. If it is the same, see what the rollup's log says of day-not-proven"
        )


def countries(connection: Connection) -> dict[str, str]:
    """Two-letter codes by code of two or three letters and by English name, in lower case."""
    rows = connection.execute("select country, alpha_3, name from countries").fetchall()
    return {str(text).lower(): country for country, *others in rows for text in (country, *others) if text}


def are_there(connection: Connection, hits: Iterable[RawHit]) -> set[bytes]:
    """The ids of those that are stored."""
    days: dict[str, list[RawHit]] = defaultdict(list)
    for hit in hits:
        days[hit.day].append(hit)
    found: set[bytes] = set()
    for day, of_day in days.items():
        about = {
            "day": datetime.date.fromisoformat(day),
            "sites": list({hit.site for hit in of_day}),
            "ids": [uuid.UUID(bytes=hit.hit_id) for hit in of_day],
        }
        # Planned for the one day.
        found |= {row[0].bytes for row in connection.execute(THERE, about, prepare=False).fetchall()}
    return found


class ImportRow:
    """The row of an import that is under way; while it lives no second run of the same import begins."""

    def __init__(self, connection: Connection, import_id: uuid.UUID, first_kept: datetime.date) -> None:
        self._connection = connection
        self._id = import_id
        self._first_kept = first_kept.isoformat()
        self._known: dict[str, bool] = {}

    def is_alone(self) -> bool:
        """Whether no other run of this import is under way."""
        lock = int.from_bytes(self._id.bytes[:8], "big", signed=True)
        [(is_alone,)] = self._connection.execute("select pg_try_advisory_lock(%s)", [lock]).fetchall()
        return bool(is_alone)

    def key_name(self) -> str:
        """The key of an earlier run that did not come to its end; empty: there was none."""
        found = self._connection.execute("select one_off_key from imports where import_id = %s", [self._id])
        row = found.fetchone()
        return str(row[0]) if row else ""

    def begin(self, key_name: str) -> None:
        """Note that it goes on under a key, before any hit is sent."""
        self._connection.execute(BEGIN, {"import_id": self._id, "key": key_name})

    def is_sealed(self, day: str) -> bool:
        """Whether a day takes no more hits. One beyond the retention that never had any is opened."""
        if day not in self._known:
            self._known[day] = not self._open(day) if day < self._first_kept else self._is_dropped(day)
        return self._known[day]

    def _open(self, day: str) -> bool:
        found = self._connection.execute(OPEN_DAY, {"import_id": self._id, "day": day})
        return found.fetchone() is not None

    def _is_dropped(self, day: str) -> bool:
        [(is_dropped,)] = self._connection.execute(IS_DROPPED, {"day": day}).fetchall()
        return bool(is_dropped)

    def opened_days(self) -> list[datetime.date]:
        """The days that are to be sealed."""
        found = self._connection.execute("select days from imports where import_id = %s", [self._id])
        row = found.fetchone()
        return sorted(row[0]) if row else []

    def end(self) -> None:
        """It is finished: nothing is to go on."""
        self._connection.execute("delete from imports where import_id = %s", [self._id])

    def seal(self, day: datetime.date) -> None:
        """Drop the hits of a day that it opened, once they are proven to be counted. Raises ``NotSealed``."""
        deadline = time.monotonic() + STANDS_STILL_S
        while time.monotonic() < deadline:
            kept = next((kept for kept in kept_days(self._connection) if kept.day == day), None)
            if kept is None:
                return
            self._count_sessions(day, deadline)
            proof, is_sealed = seal(self._connection, kept, self._id)
            if is_sealed:
                return
            if not (proof.is_proven or proof.is_waiting):
                raise NotSealed(f"{day} stays unsealed, its rollups are not proven: {proof.what_to_do}")
            time.sleep(PAUSE_S)
        raise NotSealed(
            f"{day} stays unsealed, another import or a long query holds it: upkeep seals it in a day"
        )

    def _count_sessions(self, day: datetime.date, deadline: float) -> None:
        marked = "select exists (select from sessions_pending where day = %s)"
        while time.monotonic() < deadline:
            count_sessions(self._connection)
            if self._connection.execute(marked, [day]).fetchall() == [(False,)]:
                return
            time.sleep(PAUSE_S)


def wait_until_counted(connection: Connection) -> None:
    """Until the rollup has counted what is stored now. Raises ``CannotWrite`` when it stands still."""
    [(newest,)] = connection.execute("select max(batch_id) from rollup_pending").fetchall()
    deadline = time.monotonic() + STANDS_STILL_S
    while newest is not None:
        if connection.execute(STILL_WAITING, {"batch_id": newest}).fetchall() == [(False,)]:
            return
        if time.monotonic() > deadline:
            raise CannotWrite("the hits are stored, and the rollup does not count them: see its log")
        time.sleep(PAUSE_S)
