"""Keeps the country database fresh: fetches a newer one, checks it, puts it in place in one step.

A file is all that is asked for, and nothing of a visitor is ever sent. The enricher takes it up by itself.
DB-IP's file has the month in its name, and is fetched once. MaxMind's has a checksum beside it, which says whether
it is a new one; account and key go to COUNTRY_DATABASE_URL alone, never to where it redirects, and into no log.
"""

from __future__ import annotations

import base64
import contextlib
import datetime
import gzip
import hashlib
import http.client
import os
import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import maxminddb

from services.country_database import country_of
from services.settings import Settings

LIMIT_BYTES = 100_000_000  # of what comes, and of what it unpacks to; in 2026 these are some 5 and 10 MB
WITHIN_S = 40.0  # less than RQ gives a job; the rollups wait meanwhile
SILENCE_S = 10.0
CHUNK_BYTES = 65_536
MIN_NODES = 10_000  # in 2026 a whole one has 1.4 million
# Google's resolver; RIPE NCC, twice; APNIC.
WELL_KNOWN = ("8.8.8.8", "193.0.6.139", "2001:67c:2e8:22::c100:68b", "202.12.29.175")
# What free databases call themselves; the npm package's are `country ipvAll`. Others somebody put there.
FREE = ("DBIP-Country-Lite", "GeoLite2-", "country ipv")
LEFT_BEHIND_S = 3_600  # by a job that was killed
TRY_AGAIN = "it is tried again in a day; should that fail too, look at what the problem names"
Read = Callable[[int], bytes]


class NotRefreshed(Exception):
    """The former database is still there; ``problem`` and ``what_to_do`` may be logged."""

    def __init__(self, problem: str, what_to_do: str = TRY_AGAIN) -> None:
        super().__init__(problem)
        self.problem = problem
        self.what_to_do = what_to_do


class _NotThere(Exception):
    """404."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """A few, and never from https to anything else."""

    max_redirections = 5

    def redirect_request(self, req: urllib.request.Request, *rest: Any) -> urllib.request.Request | None:
        following = super().redirect_request(req, *rest)
        if following and following.type not in ("https", req.type):
            raise NotRefreshed(f"{req.host} redirects to {following.type}")
        return following


class _Metered:
    """Reads on, up to the limits of size and time; knows the checksum of what it read."""

    def __init__(self, read: Read, until_s: float) -> None:
        self._read = read
        self._until_s = until_s
        self._bytes = 0
        self.checksum = hashlib.sha256()

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        """So many bytes, less at the end only: gzip takes a short first read for a wrong file."""
        data = bytearray()
        while len(data) < size and (some := self._some(size - len(data))):
            data += some
        return bytes(data)

    def _some(self, size: int) -> bytes:
        if time.monotonic() > self._until_s:
            raise NotRefreshed(f"it took longer than {WITHIN_S:.0f} s")
        some = self._read(min(size, CHUNK_BYTES))
        self._bytes += len(some)
        if self._bytes > LIMIT_BYTES:
            raise NotRefreshed(f"it is larger than {LIMIT_BYTES // 1_000_000} MB")
        self.checksum.update(some)
        return some


def place_of(settings: Settings) -> str:
    """Host and path from which the database is fetched; a query or a user could be secret."""
    parts = urlsplit(settings.country_database_url)
    return f"{parts.hostname}{parts.path}"


def _words(error: Exception) -> str:
    """What an error of the network or of a format says, without its text, which may quote an address."""
    reason = getattr(error, "reason", None)
    cause = reason if isinstance(reason, Exception) else error
    return f"{type(cause).__name__} {getattr(cause, 'strerror', None) or ''}".strip()


@contextlib.contextmanager
def _answer(settings: Settings, address: str, until_s: float) -> Iterator[_Metered]:
    """The body of an answer. Raises ``_NotThere`` and ``NotRefreshed``, for what is done with it too."""
    try:
        request = urllib.request.Request(address, headers={"User-Agent": "footfall"})
        if settings.maxmind_license_key:
            pair = f"{settings.maxmind_account_id}:{settings.maxmind_license_key}".encode()
            # Unredirected: MaxMind redirects to another company's store.
            request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(pair).decode())
        with urllib.request.build_opener(_Redirects).open(request, timeout=SILENCE_S) as answer:
            yield _Metered(answer.read1, until_s)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.client.NOT_FOUND:
            raise _NotThere from None
        with_key = settings.maxmind_license_key and error.code in (401, 403)
        raise NotRefreshed(
            f"HTTP status {error.code}",
            "check MAXMIND_ACCOUNT_ID and MAXMIND_LICENSE_KEY" if with_key else TRY_AGAIN,
        ) from None
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError, http.client.HTTPException) as error:
        raise NotRefreshed(_words(error)) from None


def _first_database(archive: _Metered) -> IO[bytes]:
    """The .mmdb file in a tar archive that comes as a stream."""
    members = tarfile.open(fileobj=archive, mode="r|")  # type: ignore[call-overload]  # noqa: SIM115
    for member in members:
        content = members.extractfile(member) if member.isfile() and member.name.endswith(".mmdb") else None
        if content:
            database: IO[bytes] = content
            return database
    raise NotRefreshed("the archive holds no .mmdb file")


def _fetch(settings: Settings, address: str, checksum: str | None, until_s: float, file: IO[bytes]) -> None:
    """Write the unpacked database to a file. Raises ``_NotThere``, ``NotRefreshed``."""
    with _answer(settings, address, until_s) as packed:
        unpacked = packed
        if address.endswith("gz"):
            unpacked = _Metered(gzip.GzipFile(fileobj=packed, mode="rb").read, until_s)  # type: ignore[call-overload]
        shutil.copyfileobj(_first_database(unpacked) if address.endswith("tar.gz") else unpacked, file)
        while packed.read():  # what follows belongs to the checksum
            pass
    if checksum is not None and packed.checksum.hexdigest() != checksum:
        raise NotRefreshed("its checksum is not the one that MaxMind gives")
    file.flush()
    os.fsync(file.fileno())


def _built_at_s(path: Path, now: datetime.datetime) -> int:
    """When a fetched database was built. Raises ``NotRefreshed`` unless it is a whole one of countries."""
    try:
        with maxminddb.open_database(path) as reader:
            metadata = reader.metadata()
            unknown = [address for address in WELL_KNOWN if country_of(reader, address) is None]
            if metadata.node_count < MIN_NODES or unknown:
                raise NotRefreshed(
                    f"it is no whole country database: {metadata.node_count} nodes, no country for {unknown}"
                )
            built_at_s = int(metadata.build_epoch)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
        raise NotRefreshed(f"it is no database in MaxMind's format ({type(error).__name__})") from None
    if built_at_s > now.timestamp() + 86_400:
        raise NotRefreshed("it says that it was built in the future; is this machine's clock right?")
    return built_at_s


def _present(path: Path) -> tuple[int, str]:
    """When the database in place was built, and its type; 0 and nothing for none. Never maps the file."""
    try:
        with maxminddb.open_database(path, maxminddb.MODE_FILE) as reader:
            metadata = reader.metadata()
            return int(metadata.build_epoch), str(metadata.database_type)
    except (OSError, ValueError, maxminddb.InvalidDatabaseError):
        return 0, ""


def _versions(
    settings: Settings, now: datetime.datetime, until_s: float
) -> Iterator[tuple[str, str, str | None]]:
    """Which databases there may be, newest first: version, address, checksum if there is one."""
    url = settings.country_database_url
    if settings.maxmind_license_key:
        with _answer(settings, f"{url}.sha256", until_s) as body:
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
    path, until_s = settings.country_database, time.monotonic() + WITHIN_S
    noted = note.read_text(errors="replace") if note.exists() else ""
    present_s, type_ = _present(path)
    if type_ and not noted and not type_.startswith(FREE):
        raise NotRefreshed(
            "the database in place is none of the free ones: it is left alone",
            "set COUNTRY_REFRESH=off, or remove the file at COUNTRY_DATABASE",
        )
    scratch = _scratch(path.parent)
    try:
        with scratch.open("wb") as file:
            for version, address, checksum in _versions(settings, now, until_s):
                noting = f"{place_of(settings)} {version}\n"
                if type_ and noting == noted:
                    return False
                with contextlib.suppress(_NotThere):
                    _fetch(settings, address, checksum, until_s, file)
                    break
            else:
                raise _NotThere
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
    """Whether a newer database was put in place. Blocks for up to 50 s. Raises ``NotRefreshed``."""
    path = settings.country_database
    note = path.with_name(f".{path.name}.from")
    try:
        return _put(settings, now, note)
    except _NotThere:
        raise NotRefreshed("HTTP status 404", "check COUNTRY_DATABASE_URL") from None
    except OSError as error:
        raise NotRefreshed(
            f"the folder of COUNTRY_DATABASE: {error.strerror}", "see that the rollup may write there"
        ) from None
