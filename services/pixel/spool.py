"""Groups that Redis does not take, on the pixel's own disk until it does.

One file of records (length, CRC-32, the bytes of a group as they would stand on the stream), appended and synced
before anybody is answered, sent in order when Redis is back, and emptied when all are sent. After a crash all of
it is sent again: a group is known by its number, so what was sent before changes nothing. A torn record at the
end was never answered and is cut off.

SPOOL_DIR has slots for several pixels, each with a file of its own: the folder itself, then folders by number. A
pixel takes the first that no running one has (flock). What a pixel left behind that runs no more is sent on by
another (``left_spools``).

The groups stay sealed. While one waits here its sealing key is held (``services.sealing.KeyHolds``), because the
enricher destroys the key of an hour of which the stream has nothing left.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import secrets
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from services.key_files import make_once, sync_directory

HEAD = struct.Struct("<II")
FILE_NAME = "groups"
HOLDER_NAME = "holder"
DAMAGED_NAME = "damaged"
# A record is a group, and a group is under 1 MiB: a longer length is a torn or foreign file.
MAX_RECORD_BYTES = 4 << 20
# Two while pixels take turns; more only where somebody runs more.
MAX_SLOTS = 16


class SpoolUnusable(Exception):
    """The folder cannot be used; the text names the setting and says what to do."""


class SpoolTaken(SpoolUnusable):
    """Another process uses the folder."""


class SpoolFull(Exception):
    """There is no room left, by the setting or on the disk."""


def groups_in(path: Path) -> Iterator[bytes]:
    """The groups in a spool's file, also while a pixel uses it: whole records, from the first on. For audits."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        while len(head := file.read(HEAD.size)) == HEAD.size:
            length, checksum = HEAD.unpack(head)
            data = file.read(length) if length <= MAX_RECORD_BYTES else b""
            if len(data) != length or zlib.crc32(data) != checksum:
                return
            yield data


class Spool:
    """The spool of one pixel process: a slot. Methods block on the disk; none is called from two threads at once."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.directory = directory
        path = directory / FILE_NAME
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            sync_directory(directory)
        except OSError as error:
            raise SpoolUnusable(f"SPOOL_DIR: cannot write to {path}: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            raise SpoolTaken(f"SPOOL_DIR: another pixel uses {directory}") from error
        holder = directory / HOLDER_NAME
        make_once(holder, secrets.token_hex(8).encode())
        self.holder = holder.read_text()  # in whose name keys are held
        self._sent = 0  # bytes of records that were sent
        self._end = self._last_whole_record()
        self.cut_bytes = self._cut_off(directory)

    @classmethod
    def if_free(cls, directory: Path, max_bytes: int) -> Spool | None:
        """The spool there; None where another process uses it. Raises ``SpoolUnusable``."""
        try:
            return cls(directory, max_bytes)
        except SpoolTaken:
            return None

    def _cut_off(self, directory: Path) -> int:
        """Set aside what is no whole record: a torn end was never answered, but a damaged disk may hide more."""
        rest = os.fstat(self._file).st_size - self._end
        if rest:
            with (directory / DAMAGED_NAME).open("wb") as damaged:
                while data := os.pread(self._file, 1 << 20, self._end + damaged.tell()):
                    damaged.write(data)
            os.ftruncate(self._file, self._end)
        return rest

    def _last_whole_record(self) -> int:
        """Where the records end that were written whole."""
        size = os.fstat(self._file).st_size
        offset = 0
        while (data := self._read(offset, size)) is not None:
            offset += HEAD.size + len(data)
        return offset

    def _read(self, offset: int, end: int) -> bytes | None:
        head = os.pread(self._file, HEAD.size, offset)
        if len(head) < HEAD.size:
            return None
        length, checksum = HEAD.unpack(head)
        if length > MAX_RECORD_BYTES or offset + HEAD.size + length > end:
            return None
        data = os.pread(self._file, length, offset + HEAD.size)
        return data if len(data) == length and zlib.crc32(data) == checksum else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._sent == self._end

    @property
    def waiting_bytes(self) -> int:
        """Bytes that wait."""
        return self._end - self._sent

    def append(self, data: bytes) -> None:
        """Put a group on disk. Raises ``SpoolFull``."""
        record = HEAD.pack(len(data), zlib.crc32(data)) + data
        if self._end + len(record) > self._max_bytes:
            raise SpoolFull
        try:
            written = os.pwrite(self._file, record, self._end)
            if written != len(record):
                raise SpoolFull
            os.fdatasync(self._file)
        except OSError as error:
            raise SpoolFull from error
        self._end += len(record)

    @property
    def is_full(self) -> bool:
        """Whether even an empty group has no room."""
        return self._end + HEAD.size >= self._max_bytes

    def next_groups(self, most_groups: int, most_bytes: int) -> list[bytes]:
        """The oldest groups that were not sent yet, in order: at least one, at most so many and so large."""
        groups: list[bytes] = []
        for data in itertools.islice(self._waiting(), most_groups):
            most_bytes -= len(data)
            if groups and most_bytes < 0:
                break
            groups.append(data)
        return groups

    def are_the_last(self, groups: list[bytes]) -> bool:
        """Whether these, from ``next_groups``, are all that waits."""
        return sum(HEAD.size + len(data) for data in groups) == self.waiting_bytes

    def mark_sent(self, groups: list[bytes]) -> None:
        """The groups that ``next_groups`` gave are on the stream; with the last one the file is emptied."""
        self._sent += sum(HEAD.size + len(data) for data in groups)
        if self.is_empty:
            os.ftruncate(self._file, 0)
            os.fsync(self._file)
            self._sent = self._end = 0

    def _waiting(self) -> Iterator[bytes]:
        offset = self._sent
        while (data := self._read(offset, self._end)) is not None:
            yield data
            offset += HEAD.size + len(data)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def slots_of(directory: Path) -> list[Path]:
    """The folders in SPOOL_DIR for a pixel each, whether they are there or not."""
    return [directory, *(directory / str(number) for number in range(2, MAX_SLOTS + 1))]


def take_slot(directory: Path, max_bytes: int) -> Spool:
    """The first slot that is free. Raises ``SpoolUnusable``."""
    for slot in slots_of(directory):
        if spool := Spool.if_free(slot, max_bytes):
            return spool
    raise SpoolUnusable(f"SPOOL_DIR: {MAX_SLOTS} pixels use {directory} already")
