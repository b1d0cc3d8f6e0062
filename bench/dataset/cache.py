"""Keeps data sets between runs, as folders of PostgreSQL's, and lends copies of them.

A folder's name says what the data set was made of, so that another version of the product makes its own. It gets its
name when it is whole. What is kept is never worked on: each run gets a copy.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.dataset.build import build
from bench.dataset.day import COUNTED_BY
from bench.dataset.progress import progress_bar
from bench.dataset.server import postgres_binaries, running_postgres
from bench.dataset.shape import World
from bench.load import BenchError
from services.migrate.__main__ import MIGRATIONS
from tools.servers import Binaries

ROOT = Path(__file__).parents[2]
# Files that decide what is in a data set, beside the migrations and the statements that count. Not the rules for
# sources and User-Agents: another version of them may name a few rows otherwise, which changes no figure.
MADE_OF = ("bench/dataset", "bench/traffic.py", "services/enricher/numbers.py")
# Bytes a hit, and of an empty server: measured 150 and 60 million; while it is built twice as much.
BYTES_A_HIT, BYTES_EMPTY = 170, 100_000_000

Say = Callable[[str], None]


class Cache:
    """The data sets in a folder; one process at a time works with it."""

    def __init__(self, folder: Path, say: Say) -> None:
        self.folder = folder.absolute()  # servers start in another one
        self._say = say

    @contextlib.contextmanager
    def borrowed(self, world: World) -> Iterator[tuple[Binaries, Path]]:
        """The server and a folder for it with such a data set, to work on. Raises ``BenchError``."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._alone(), self._scratch("server-") as copies:
            binaries = postgres_binaries(copies)
            kept = self.folder / name_of(world, binaries)
            self._need_room(world.hits, is_there=kept.exists())
            if not kept.exists():
                self._make(kept, world, binaries)
            with self._scratch("copy-") as scratch:
                subprocess.run(["cp", "-a", "--reflink=auto", kept, scratch / "postgres"], check=True)
                yield binaries, scratch / "postgres"

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say(f"another process works with {self.folder}: waiting for its end")
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in self.folder.glob(".*-*"):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            yield

    @contextlib.contextmanager
    def _scratch(self, prefix: str) -> Iterator[Path]:
        """A folder that the servers' user may enter, and that goes."""
        folder = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=self.folder))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _need_room(self, hits: int, is_there: bool) -> None:
        one = BYTES_EMPTY + hits * BYTES_A_HIT
        needed, free = one if is_there else 3 * one, shutil.disk_usage(self.folder).free
        if free < needed:
            raise BenchError(
                f"{hits} stored hits need {needed / 1e9:.1f} GB in {self.folder}, where {free / 1e9:.1f} GB are free:"
                " make room, let BENCH_CACHE name a folder elsewhere, or set BENCH_STORED_HITS to fewer, or to 0"
            )

    def _make(self, kept: Path, world: World, binaries: Binaries) -> None:
        """Raises ``BenchError``."""
        began = time.monotonic()
        with self._scratch("made-") as scratch:
            work = scratch / "work"
            work.mkdir()
            with (
                running_postgres(binaries, scratch / "postgres", quickly=True) as url,
                progress_bar(f"building {world}", world.hits) as made,
            ):
                build(url, world, work, made)
            _sync(scratch)
            self._forget_others(kept, world)
            (scratch / "postgres").rename(kept)
        self._say(f"built {world} in {time.monotonic() - began:.0f} s")

    def _forget_others(self, kept: Path, world: World) -> None:
        """Data sets of this size that another version made, by its former name too."""
        former = self.folder.glob(f"hits-{world.hits}-{'?' * 12}")
        for other in [*self.folder.glob(f"{_stem(world)}-*"), *former]:
            if other != kept:
                shutil.rmtree(other, ignore_errors=True)


def _sync(folder: Path) -> None:
    """The server that wrote it was told not to wait for the disk."""
    subprocess.run(["sync", "--file-system", folder], check=False)


def _stem(world: World) -> str:
    return f"hits-{world.hits}-sites-{world.sites}-pages-{world.pages}"


def name_of(world: World, binaries: Binaries) -> str:
    """Of the folder with the data set that this version of the product would make."""
    digest = hashlib.sha256(f"{binaries.as_record()} {os.uname().machine}".encode())
    for statement in COUNTED_BY:
        digest.update(statement.encode() + b"\0")
    files = [*MIGRATIONS.glob("*.sql"), *(file for name in MADE_OF for file in _files(ROOT / name))]
    for path in sorted(files):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{_stem(world)}-{digest.hexdigest()[:12]}"


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else [*path.glob("*.py"), *path.glob("*.sql")]
