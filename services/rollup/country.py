"""Keeps the country database fresh: fetches a newer one, checks it, puts it in place in one step.

A file is all that is asked for, and nothing of a visitor is ever sent. The enricher takes it up by itself.
DB-IP's file has the month in its name, and is fetched once. MaxMind's has a checksum beside it, which says whether
it is a new one.
"""

from __future__ import annotations

import contextlib
import datetime
import gzip
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import maxminddb

from services.country_database import country_of, facts_of
from services.rollup.download import Limits, Metered, NotFetched, NotThere, answer_of, limits_of_file
from services.settings import Settings

MIN_NODES = 10_000  # in 2026 a whole one has 1.4 million
# Google's resolver; RIPE NCC, twice; APNIC.
WELL_KNOWN = ("8.8.8.8", "193.0.6.139", "2001:67c:2e8:22::c100:68b", "202.12.29.175")
# What free databases call themselves; the npm package's are `country ipvAll`. Others somebody put there.
FREE = ("DBIP-Country-Lite", "GeoLite2-", "country ipv")
LEFT_BEHIND_S = 3_600  # by a job that was killed


def place_of(settings: Settings) -> str:
    """Host and path from which the database is fetched; a query or a user could be secret."""
    parts = urlsplit(settings.country_database_url)
    return f"{parts.hostname}{parts.path}"


def _answer(settings: Settings, address: str, limits: Limits) -> contextlib.AbstractContextManager[Metered]:
    if not settings.maxmind_license_key:
        return answer_of(address, limits)
    credentials = settings.maxmind_account_id, settings.maxmind_license_key
    return answer_of(address, limits, credentials, "check MAXMIND_ACCOUNT_ID and MAXMIND_LICENSE_KEY")


def _first_database(archive: Metered) -> IO[bytes]:
    """The .mmdb file in a tar archive that comes as a stream."""
    members = tarfile.open(fileobj=archive, mode="r|")  # type: ignore[call-overload]  # noqa: SIM115
    for member in members:
        content = members.extractfile(member) if member.isfile() and member.name.endswith(".mmdb") else None
        if content:
            database: IO[bytes] = content
            return database
    raise NotFetched("the archive holds no .mmdb file")


def _fetch(settings: Settings, address: str, checksum: str | None, limits: Limits, file: IO[bytes]) -> None:
    """Write the unpacked database to a file. Raises ``NotThere``, ``NotFetched``."""
    with _answer(settings, address, limits) as packed:
        unpacked = packed
        if address.endswith("gz"):
            unpacked = Metered(gzip.GzipFile(fileobj=packed, mode="rb").read, limits)  # type: ignore[call-overload]
        shutil.copyfileobj(_first_database(unpacked) if address.endswith("tar.gz") else unpacked, file)
        while packed.read():  # what follows belongs to the checksum
            pass
    if checksum is not None and packed.checksum.hexdigest() != checksum:
        raise NotFetched("its checksum is not the one that MaxMind gives")
    file.flush()
    os.fsync(file.fileno())


def _built_at_s(path: Path, now: datetime.datetime) -> int:
    """When a fetched database was built. Raises ``NotFetched`` unless it is a whole one of countries."""
    try:
        facts = facts_of(path)
        with maxminddb.open_database(path) as reader:
            unknown = [address for address in WELL_KNOWN if country_of(reader, address) is None]
            if facts.nodes < MIN_NODES or unknown:
                raise NotFetched(
                    f"it is no whole country database: {facts.nodes} nodes, no country for {unknown}"
                )
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise NotFetched(f"it is no database in MaxMind's format ({type(error).__name__})") from None
    if facts.built_at_s > now.timestamp() + 86_400:
        raise NotFetched("it says that it was built in the future; is this machine's clock right?")
    return facts.built_at_s


def _present(path: Path) -> tuple[int, str]:
    """When the database in place was built, and its type; 0 and nothing for none. Never maps the file."""
    try:
        facts = facts_of(path)
        return facts.built_at_s, facts.type
    except (OSError, ValueError, maxminddb.InvalidDatabaseError):
        return 0, ""


def _versions(
    settings: Settings, now: datetime.datetime, limits: Limits
) -> Iterator[tuple[str, str, str | None]]:
    """Which databases there may be, newest first: version, address, checksum if there is one."""
    url = settings.country_database_url
    if settings.maxmind_license_key:
        with _answer(settings, f"{url}.sha256", limits) as body:
            checksum = body.read().decode(errors="replace").partition(" ")[0].strip()
        yield checksum, url, checksum
        return
    month = now.date().replace(day=1)
    # At the beginning of a month the new file may not be there yet.
    for first in (month, (month - datetime.timedelta(days=1))) if "{month}" in url else (month,):
        named = url.replace("{year}", f"{first:%Y}").replace("{month}", f"{first:%m}")
        yield f"{first:%Y-%m}", named, None


def _scratch(folder: Path) -> Path:
    """A new file beside the database, of this job alone; those that killed ones left behind go."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".country-*.new"):
        if left.stat().st_mtime < time.time() - LEFT_BEHIND_S:
            left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=".country-", suffix=".new")
    os.close(descriptor)
    return Path(name)


def _put(settings: Settings, now: datetime.datetime, note: Path) -> bool:
    """Put a version in place that is not noted, unless what is there is as new."""
    path, limits = settings.country_database, limits_of_file()
    noted = note.read_text(errors="replace") if note.exists() else ""
    present_s, type_ = _present(path)
    if type_ and not noted and not type_.startswith(FREE):
        raise NotFetched(
            "the database in place is none of the free ones: it is left alone",
            "set COUNTRY_REFRESH=off, or remove the file at COUNTRY_DATABASE",
        )
    scratch = _scratch(path.parent)
    try:
        with scratch.open("wb") as file:
            for version, address, checksum in _versions(settings, now, limits):
                noting = f"{place_of(settings)} {version}\n"
                if type_ and noting == noted:
                    return False
                with contextlib.suppress(NotThere):
                    _fetch(settings, address, checksum, limits, file)
                    break
            else:
                raise NotThere
        built_at_s = _built_at_s(scratch, now)
        same_source = not noted or noted.split()[:1] == noting.split()[:1]
        is_newer = built_at_s > present_s or not same_source
        if is_newer:
            scratch.chmod(0o644)  # the enricher may be another user
            os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    note.write_text(noting)
    return is_newer


def refresh(settings: Settings, now: datetime.datetime) -> bool:
    """Whether a newer database was put in place. Blocks for up to 50 s. Raises ``NotFetched``."""
    path = settings.country_database
    note = path.with_name(f".{path.name}.from")
    try:
        return _put(settings, now, note)
    except NotThere:
        raise NotFetched("HTTP status 404", "check COUNTRY_DATABASE_URL") from None
    except OSError as error:
        raise NotFetched(
            f"the folder of COUNTRY_DATABASE: {error.strerror}", "see that the rollup may write there"
        ) from None
