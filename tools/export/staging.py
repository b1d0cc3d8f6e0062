"""Gives a file or folder its name once it is whole, so that nobody finds half of one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from tools.arguments import BadRequest


@contextlib.contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A path to write to, which becomes ``out`` when the body ends well; else nothing stays.

    It lies in a hidden folder beside ``out``. One that was killed leaves that folder, which the next one to the same
    place empties. A file that is there is replaced. Raises ``BadRequest`` while another writes there, ``OSError``.
    """
    folder = out.parent / f".{out.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadRequest(f"OUT: another export is writing {out}: wait for it, or name another") from None
        try:
            _empty(folder)
            yield folder / out.name
            _put_in_place(folder / out.name, out)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _put_in_place(whole: Path, out: Path) -> None:
    """On the disk first, as a full one may say so only then."""
    for path in (*whole.rglob("*"), whole) if whole.is_dir() else (whole,):
        _sync(path)
    os.replace(whole, out)
    _sync(out.parent)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
