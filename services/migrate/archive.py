"""The file of a backup: a tar, compressed by gzip, and encrypted where the owner asked for it.

`manifest.json` stands first and says what follows: the rows of each table as PostgreSQL's COPY writes them, in
parts of some megabytes. `contents.json` stands last: how many rows each table has, and a hash of them. So a file
without its end is known to be one. There is no statement in it, and nothing of it is executed.
"""

from __future__ import annotations

import datetime
import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

import msgspec

from services.migrate import age

FORMAT = 1
MANIFEST, CONTENTS = "manifest.json", "contents.json"
PART_BYTES = 4_000_000
# More than any part that is written: a row, with the longest properties, is 30 kB.
MOST_PART_BYTES = 64_000_000
# A third of the time of gzip's default, for a twentieth more bytes.
COMPRESSION = 4
_READ_BYTES = 1 << 20


class BadBackup(Exception):
    """A file that cannot be restored; the text says why, and what to do. Nothing was changed."""


class AppliedMigration(msgspec.Struct, frozen=True):
    """A row of ``schema_migrations``."""

    number: int
    name: str
    sha256: str


class CopiedTable(msgspec.Struct, frozen=True):
    """A table, and the columns of its rows in the file."""

    schema: str
    name: str
    columns: list[str]

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


class CopiedDay(msgspec.Struct, frozen=True):
    """A partition of hits."""

    day: datetime.date
    is_open: bool  # has the indexes that new hits need

    @property
    def table(self) -> str:
        """Full name of its table."""
        return f"hits_days.d{self.day:%Y%m%d}"


class _Format(msgspec.Struct):
    """What a manifest of any version says."""

    format: int


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is of."""

    format: int
    made_at: datetime.datetime
    postgresql: int  # major version
    report_timezone: str
    rollups: int  # which set of rollups it holds (services/rollups.py); 0: of before there were sets
    migrations: list[AppliedMigration]
    tables: list[CopiedTable]
    days: list[CopiedDay]
    sequences: dict[str, int]  # the last number that was given

    @property
    def level(self) -> int:
        """Number of the newest migration."""
        return max(applied.number for applied in self.migrations)


class Content(msgspec.Struct, frozen=True):
    """The rows of a table."""

    rows: int
    sha256: str


class Contents(msgspec.Struct, frozen=True):
    """The end of a backup."""

    tables: dict[str, Content]


class Part(NamedTuple):
    """Some rows of a table."""

    table: str
    data: bytes


class Writer:
    """Writes a backup into a file, which is whole only after ``finish``."""

    def __init__(self, target: IO[bytes], recipients: Sequence[age.Recipient] = ()) -> None:
        self._sealed = age.Writer(target, recipients) if recipients else None
        self._gzip = gzip.GzipFile(
            fileobj=self._sealed or target, mode="wb", compresslevel=COMPRESSION, mtime=0
        )
        self._tar = tarfile.open(fileobj=self._gzip, mode="w|")  # noqa: SIM115 - closed by `finish` alone
        self._number = 0

    def put_manifest(self, manifest: Manifest) -> None:
        """First."""
        self._put(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest)))

    def put(self, part: Part) -> None:
        """Rows; those of a table one after the other."""
        self._number += 1
        self._put(f"{part.table}/{self._number:06}.copy", part.data)

    def finish(self, contents: Contents) -> None:
        """Last."""
        self._put(CONTENTS, msgspec.json.format(msgspec.json.encode(contents)))
        self._tar.close()
        self._gzip.close()
        if self._sealed:
            self._sealed.finish()

    def _put(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        member.mode = 0o600
        self._tar.addfile(member, io.BytesIO(data))


# What reading a damaged file ends with.
_DAMAGE = (age.CannotOpen, EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, msgspec.MsgspecError)


class Reader:
    """Reads a backup: ``manifest`` at once, then ``parts``, then ``contents``. Raises ``BadBackup`` all along."""

    def __init__(self, source: IO[bytes], identities: Sequence[age.Identity] = ()) -> None:
        buffered = io.BufferedReader(source, _READ_BYTES)  # type: ignore[type-var]
        encrypted = age.is_encrypted(buffered.peek(len(age.VERSION) + 1))
        if encrypted and not identities:
            raise BadBackup("the backup is encrypted: name its KEY_FILE or PASSPHRASE_FILE")
        try:
            clear: IO[bytes] = buffered
            if encrypted:
                clear = io.BufferedReader(age.Reader(buffered, identities), _READ_BYTES)
            self._gzip = gzip.GzipFile(fileobj=clear, mode="rb")
            self._tar = tarfile.open(fileobj=self._gzip, mode="r|")  # noqa: SIM115 - the caller closes the file
            member = self._tar.next()
            if member is None or member.name != MANIFEST:
                raise BadBackup("the file is no backup of Footfall")
            self.manifest = self._manifest(member)
        except age.CannotOpen as error:
            raise BadBackup(f"the backup cannot be opened: {error}") from error
        except _DAMAGE as error:
            raise BadBackup("the file is no backup of Footfall, or its beginning is damaged") from error
        self._contents: Contents | None = None

    def parts(self) -> Iterator[Part]:
        """All rows; afterwards the file was read to its end, and is whole."""
        try:
            while member := self._tar.next():
                if member.name == CONTENTS:
                    self._contents = msgspec.json.decode(self._read(member), type=Contents)
                    continue
                yield Part(member.name.rpartition("/")[0], self._read(member))
            # The ends of gzip and of the encryption stand behind that of tar: there is what tells of a change.
            while self._gzip.read(_READ_BYTES):
                pass
        except _DAMAGE as error:
            raise BadBackup(f"the backup is truncated or was altered ({type(error).__name__})") from error

    @property
    def contents(self) -> Contents:
        """What should have been read. After ``parts``."""
        if self._contents is None:
            raise BadBackup("the backup is truncated: its end is missing")
        return self._contents

    def _read(self, member: tarfile.TarInfo) -> bytes:
        file = self._tar.extractfile(member)
        if file is None or member.size > MOST_PART_BYTES:
            raise BadBackup(f"the backup holds what is none of its parts: {member.name[:100]}")
        data = file.read()
        if len(data) != member.size:
            raise EOFError
        return data

    def _manifest(self, member: tarfile.TarInfo) -> Manifest:
        data = self._read(member)
        if msgspec.json.decode(data, type=_Format).format > FORMAT:
            raise BadBackup(
                "the backup was made by a newer Footfall: restore it with that version or a later one"
            )
        return msgspec.json.decode(data, type=Manifest)
