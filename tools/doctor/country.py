"""How old the country database is, and whether it knows addresses."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import maxminddb

from services.country_database import country_of, facts_of
from tools.doctor.check import Judgement
from tools.doctor.installation import CannotAsk, Installation

# Public name servers, of which every such database knows a country.
KNOWN = ("8.8.8.8", "1.1.1.1", "9.9.9.9", "2001:4860:4860::8888")
OLD_DAYS, VERY_OLD_DAYS = 60, 400
DAY_S = 86_400.0


class Database(NamedTuple):
    """The database that the enricher reads."""

    age_days: float | None  # None: there is none
    known: int | None  # how many of ``KNOWN`` it has a country of; None: the file is not here to be asked
    refresh_fails: bool


def _of_file(path: Path, now_s: float) -> tuple[float | None, int]:
    if not path.exists():
        return None, 0
    try:
        age_days = (now_s - facts_of(path).built_at_s) / DAY_S
        with maxminddb.open_database(path, maxminddb.MODE_FILE) as reader:
            return age_days, sum(country_of(reader, address) is not None for address in KNOWN)
    except (maxminddb.InvalidDatabaseError, ValueError):
        return 0.0, 0


def gather(installation: Installation) -> Database:
    """From the enricher's file, else from what its metrics say. Raises ``CannotAsk``, OSError."""
    now_s = time.time()
    fails = _refresh_fails(installation)
    if installation.has_folders:
        return Database(*_of_file(installation.settings.country_database, now_s), fails)
    built_at_s = installation.metrics("enricher").get(
        ("footfall_country_database_built_timestamp_seconds", ""), 0.0
    )
    return Database((now_s - built_at_s) / DAY_S if built_at_s else None, None, fails)


def _refresh_fails(installation: Installation) -> bool:
    """Whether the last look for a newer one failed; no, where that is not known."""
    try:
        samples = installation.metrics("rollup")
    except CannotAsk:
        return False
    name = "footfall_country_refresh_timestamp_seconds"
    return samples.get((name, "failed"), 0.0) > samples.get((name, "done"), 0.0)


def judge(database: Database) -> Judgement:
    """Whether countries are known, and those of today."""
    if database.age_days is None:
        return Judgement("there is none", ("none",))
    faults = [
        *(["very-old"] if database.age_days > VERY_OLD_DAYS else []),
        *(["old"] if OLD_DAYS < database.age_days <= VERY_OLD_DAYS else []),
        *(["knows-nothing"] if database.known == 0 else []),
        *(["not-refreshed"] if database.refresh_fails else []),
    ]
    says = f"{max(0.0, database.age_days):.0f} days old"
    if database.known is not None:
        says += f", knows {database.known} of {len(KNOWN)} well-known addresses"
    return Judgement(says, tuple(faults))
