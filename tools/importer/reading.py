"""Reads logs line by line: plain or gzip, from standard input, and what a server goes on to write."""

from __future__ import annotations

import gzip
import io
import itertools
import os
import sys
import zlib
from collections.abc import Iterator
from typing import BinaryIO

SAMPLE_LINES = 2_000
MAX_LINE = 32_768  # bytes; servers take no longer request by default
GZIP_MAGIC = b"\x1f\x8b"
_PIECE = 1 << 20


class BadInput(Exception):
    """A file cannot be imported; the text names it and says what to do."""


class Log:
    """An open log. A line that the file ends within lacks its newline, and is not read while the log is followed."""

    def __init__(self, name: str, *, is_followed: bool = False) -> None:
        self.name = name
        self._is_followed = is_followed
        self._open()

    def _open(self) -> None:
        try:
            self._raw, self._file = _opened(self.name)
            self.size = os.fstat(self._raw.fileno()).st_size if self.name != "-" else 0
            self.head = list(itertools.islice(self._read(), SAMPLE_LINES))
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(_problem(self.name, error)) from error

    def lines(self) -> Iterator[bytes]:
        """What was not read yet. Raises ``BadInput``."""
        head, self.head = self.head, []
        yield from head
        try:
            yield from self._read()
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(_problem(self.name, error)) from error

    def position(self) -> int:
        """How many bytes of the file were read."""
        return self._raw.tell() if self.name != "-" else 0

    def _read(self) -> Iterator[bytes]:
        while line := self._file.readline(MAX_LINE):
            if not line.endswith(b"\n") and len(line) == MAX_LINE:
                self._pass_over()
                line = b"\n"
            elif not line.endswith(b"\n") and self._is_followed:
                self._file.seek(-len(line), os.SEEK_CUR)
                return
            yield line

    def _pass_over(self) -> None:
        """The rest of a line that is too long."""
        while (rest := self._file.readline(_PIECE)) and not rest.endswith(b"\n"):
            pass

    def is_replaced(self) -> bool:
        """Whether the server writes to another file of this name, or to this one from its beginning."""
        try:
            now = os.stat(self.name)
        except FileNotFoundError:
            return False  # it is being rotated
        mine = os.fstat(self._raw.fileno())
        is_other = (now.st_dev, now.st_ino) != (mine.st_dev, mine.st_ino)
        return is_other or now.st_size < self._file.tell()

    def open_anew(self) -> None:
        """Go over to the file that has the name now. Raises ``BadInput``."""
        self.close()
        self._open()

    def close(self) -> None:
        """Let go of the file."""
        if self.name != "-":
            self._file.close()
            self._raw.close()


def _opened(name: str) -> tuple[BinaryIO, BinaryIO | gzip.GzipFile]:
    """The file, and what its lines are read from."""
    if name == "-":
        stdin = sys.stdin.buffer
        is_gzip = isinstance(stdin, io.BufferedReader) and stdin.peek(2)[:2] == GZIP_MAGIC
        return stdin, gzip.GzipFile(fileobj=stdin) if is_gzip else stdin
    raw = open(name, "rb")  # noqa: SIM115 - closed by who reads it
    is_gzip = raw.read(2) == GZIP_MAGIC
    raw.seek(0)
    if is_gzip:
        _verify(raw)
        raw.seek(0)
        return raw, gzip.GzipFile(fileobj=raw)
    return raw, raw


def _verify(raw: BinaryIO) -> None:
    """Read all of a gzip file once, before anything of it is imported. Raises what gzip does."""
    with gzip.GzipFile(fileobj=raw) as file:
        while file.read(_PIECE):
            pass


def _problem(name: str, error: Exception) -> str:
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return (
            f"{name}: the gzip file is cut off or damaged ({error}). Nothing of it is imported: get it anew"
        )
    return f"{name}: {getattr(error, 'strerror', None) or error}"
