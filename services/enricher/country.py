"""The country of an address, from a database file on this machine; nobody is ever asked.

The file is looked at again every minute, so that a monthly refresh, or the first download, is taken up.
It is read from a copy of our own: who writes over the file in place, as `cp` does, would end a process that has it
mapped (SIGBUS).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import maxminddb

from services import country_database
from services.logs import Logger

LOOK_EVERY_S = 60.0
Identity = tuple[int, int, int]


class _Opened(NamedTuple):
    reader: maxminddb.Reader
    identity: Identity
    built_at_s: int
    type: str


def _identity(status: os.stat_result) -> Identity:
    return status.st_ino, status.st_mtime_ns, status.st_size


def _open_copy(path: Path) -> _Opened | None:
    """None: it is being written. Raises ``OSError`` and what maxminddb does for what is no database."""
    with path.open("rb") as file, tempfile.NamedTemporaryFile(prefix="country-") as copy:
        identity = _identity(os.fstat(file.fileno()))
        shutil.copyfileobj(file, copy)
        copy.flush()
        if _identity(os.fstat(file.fileno())) != identity:
            return None
        facts = country_database.facts_of(copy.name)
        return _Opened(maxminddb.open_database(copy.name), identity, facts.built_at_s, facts.type)


class Countries:
    """Looks addresses up; without a database every country is unknown, and the log says so."""

    def __init__(self, path: Path, log: Logger) -> None:
        self._path = path
        self._log = log
        self._opened: _Opened | None = None
        self._next_look_s = 0.0
        self._missing_said = False

    def refresh(self, now_s: float) -> None:
        """Open the file when it is new; at most once a minute."""
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + LOOK_EVERY_S
        try:
            if self._opened and _identity(os.stat(self._path)) == self._opened.identity:
                self._missing_said = False
                return
            opened = _open_copy(self._path)
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            self._complain(error)
            return
        if opened is None:
            return
        self._opened, self._missing_said = opened, False
        self._log.info(
            "country-database", path=str(self._path), type=opened.type, built_at_s=opened.built_at_s
        )

    def _complain(self, error: Exception) -> None:
        if self._missing_said:
            return
        self._missing_said = True
        self._log.error(
            "no-country-database",
            setting="COUNTRY_DATABASE",
            path=str(self._path),
            error=type(error).__name__,
            problem="hits are stored without a country" if self._opened is None else "the former one is used",
            what_to_do="put a country database in MaxMind's format there (DB-IP country lite or GeoLite2 "
            "Country, .mmdb); it is taken up within a minute, if a copy has room among the temporary files",
        )

    @property
    def built_at_s(self) -> int:
        """Unix time at which the database was built; 0: there is none."""
        return self._opened.built_at_s if self._opened else 0

    @property
    def type(self) -> str:
        """What the database calls itself, such as `GeoLite2-Country`; empty: there is none."""
        return self._opened.type if self._opened else ""

    def country_of(self, address: str) -> str | None:
        """The two-letter code; None: unknown."""
        return country_database.country_of(self._opened.reader, address) if self._opened else None
