"""Whether disk and memory last: of this machine, and of the database by the rollup's own looks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psycopg
import redis

from services.rollup.disk import disk_space
from tools.doctor.check import Judgement
from tools.doctor.installation import CannotAsk, Installation
from tools.stack import data_dir

# As the dashboard `pipeline` has it.
SHORT_DAYS, LAST_DAYS = 60, 14
FEWEST_BYTES, SCARCE_SHARE = 500_000_000, 0.05
MEMINFO = Path("/proc/meminfo")
SCARCE_MEMORY_SHARE, MUCH_SWAP_BYTES = 0.08, 100_000_000


class Disk(NamedTuple):
    """A disk, by what of ours is on it."""

    what: str
    free: int
    total: int


class Disks(NamedTuple):
    """The disks of this installation that are seen from here."""

    disks: Sequence[Disk]
    days_left: float | None  # at the pace of the last 14 days; None: not growing, or not known


def gather_disks(installation: Installation) -> Disks:
    """Raises ``CannotAsk`` where none is seen."""
    folders = {what: _reachable(path) for what, path in _folders(installation).items()}
    by_device: dict[int, list[str]] = {}
    for what, path in folders.items():
        by_device.setdefault(os.stat(path).st_dev, []).append(what)
    disks = [Disk(", ".join(names), *disk_space(folders[names[0]])) for names in by_device.values()]
    days_left = None
    with contextlib.suppress(CannotAsk, psycopg.Error), installation.database() as connection:
        row = connection.execute(
            "select days_left, disk_free_bytes, disk_total_bytes from disk_outlook"
        ).fetchone()
        if row:
            days_left = None if row[0] is None else float(row[0])
            disks += [] if disks else [Disk("KEY_DIR, as the rollup sees it", int(row[1]), int(row[2]))]
    if not disks:
        raise CannotAsk("no folder of the stack is on this machine, and PostgreSQL does not tell")
    return Disks(disks, days_left)


def _folders(installation: Installation) -> Mapping[str, Path]:
    if not installation.has_folders:
        return {}
    settings = installation.settings
    found = {"data": data_dir().resolve(), "spool": settings.spool_dir, "keys": settings.key_dir}
    with contextlib.suppress(CannotAsk, psycopg.Error):
        if installation.is_local("OWNER_DATABASE_URL"):
            found["PostgreSQL"] = _database_folder(installation)
    with contextlib.suppress(CannotAsk, redis.RedisError):
        if installation.is_local("REDIS_URL"):
            found["Redis"] = Path(str(installation.redis().config_get("dir")["dir"]))
    return found


def _database_folder(installation: Installation) -> Path:
    with installation.database() as connection:
        [(folder,)] = connection.execute("select current_setting('data_directory')").fetchall()
    return Path(folder)


def _reachable(path: Path) -> Path:
    """The path, or the nearest folder above it that is there and may be looked at."""
    for place in (path.absolute(), *path.absolute().parents):
        with contextlib.suppress(OSError):
            os.stat(place)
            return place
    return Path("/")


def judge_disks(found: Disks) -> Judgement:
    """How long there is room."""
    scarce = [disk.what for disk in found.disks if disk.free < max(FEWEST_BYTES, SCARCE_SHARE * disk.total)]
    full = any(disk.free < FEWEST_BYTES for disk in found.disks)
    days = found.days_left
    faults = {
        "full": full or (days is not None and days < LAST_DAYS),
        "short": bool(scarce) or (days is not None and days < SHORT_DAYS),
    }
    says = "; ".join(
        f"{disk.what}: {disk.free / 1e9:.1f} of {disk.total / 1e9:.0f} GB free" for disk in found.disks
    )
    says += (
        f"; lasts {min(days, 36_500):.0f} days"
        if days is not None
        else "; not growing, or not known for 2 days"
    )
    return Judgement(says, tuple(name for name, is_so in faults.items() if is_so)[:1])


class Memory(NamedTuple):
    """Of this machine, in bytes."""

    total: int
    available: int
    swapped: int


def memory_in(text: str) -> Memory:
    """From the text of ``/proc/meminfo``."""
    rows = {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in text.splitlines() if ":" in line}
    return Memory(rows["MemTotal"], rows["MemAvailable"], rows.get("SwapTotal", 0) - rows.get("SwapFree", 0))


def gather_memory(installation: Installation) -> Memory:
    """Linux only. Raises ``CannotAsk``."""
    if not (installation.environs or installation.is_here):
        raise CannotAsk("no service of the stack is known to run on this machine")
    if not MEMINFO.exists():
        raise CannotAsk("only Linux tells (/proc/meminfo)")
    return memory_in(MEMINFO.read_text())


def judge_memory(memory: Memory) -> Judgement:
    """Whether a server may be ended for want of it."""
    faults = {
        "scarce": memory.available < SCARCE_MEMORY_SHARE * memory.total,
        "swaps": memory.swapped > MUCH_SWAP_BYTES,
    }
    says = f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB are there to be had"
    says += f", {memory.swapped / 1e9:.1f} GB are swapped out"
    return Judgement(says, tuple(name for name, is_so in faults.items() if is_so))
