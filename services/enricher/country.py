"""The country of an address, from a database file on this machine; nobody is ever asked.

The file is looked at again every minute, so that a monthly refresh, or the first download, is taken up.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import maxminddb

from services.logs import Logger

LOOK_EVERY_S = 60.0


def country_in(record: Any) -> str | None:
    """The two-letter code in a record of either shape that occurs (DB-IP's and MaxMind's)."""
    if not isinstance(record, dict):
        return None
    code = record.get("country_code")
    if code is None:
        for name in ("country", "registered_country"):
            place = record.get(name)
            if isinstance(place, dict) and "iso_code" in place:
                code = place["iso_code"]
                break
    return code.upper() if isinstance(code, str) and len(code) == 2 and code.isalpha() else None


class Countries:
    """Looks addresses up; without a database every country is unknown, and the log says so."""

    def __init__(self, path: Path, log: Logger) -> None:
        self._path = path
        self._log = log
        self._reader: maxminddb.Reader | None = None
        self._identity: tuple[int, int] | None = None
        self._next_look_s = 0.0
        self._missing_said = False

    def refresh(self, now_s: float) -> None:
        """Open the file when it is new; at most once a minute."""
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + LOOK_EVERY_S
        try:
            status = os.stat(self._path)
            identity = (status.st_ino, status.st_mtime_ns)
            if identity == self._identity:
                return
            reader = maxminddb.open_database(self._path)
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            self._complain(error)
            return
        self._reader, self._identity, self._missing_said = reader, identity, False
        self._log.info("country-database", path=str(self._path), built_at_s=self.built_at_s)

    def _complain(self, error: Exception) -> None:
        if self._missing_said:
            return
        self._missing_said = True
        self._log.error(
            "no-country-database",
            setting="COUNTRY_DATABASE",
            path=str(self._path),
            error=type(error).__name__,
            problem="hits are stored without a country" if self._reader is None else "the former one is used",
            what_to_do="put a country database in MaxMind's format there (DB-IP country lite or GeoLite2 "
            "Country, .mmdb); it is taken up within a minute",
        )

    @property
    def built_at_s(self) -> int:
        """Unix time at which the database was built; 0: there is none."""
        return int(self._reader.metadata().build_epoch) if self._reader else 0

    def country_of(self, address: str) -> str | None:
        """The two-letter code; None: unknown."""
        if self._reader is None:
            return None
        try:
            return country_in(self._reader.get(address))
        except (ValueError, maxminddb.InvalidDatabaseError):
            return None
