"""CPU time and memory of processes, from /proc (Linux only)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """What /proc/PID/stat says of CPU, in ticks."""

    parent: int
    own: int  # user and system
    ended_children: int  # user and system of children that ended and were waited for


def read_stat(text: str) -> Stat:
    """The line of /proc/PID/stat; the program's name may hold spaces and parentheses."""
    fields = text.rpartition(")")[2].split()
    user, system, children_user, children_system = (int(field) for field in fields[11:15])
    return Stat(int(fields[1]), user + system, children_user + children_system)


def _all_stats() -> dict[int, Stat]:
    stats = {}
    for entry in os.listdir(PROC):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                stats[int(entry)] = read_stat((PROC / entry / "stat").read_text())
    return stats


def own_cpu_s(pid: int) -> float:
    """User and system time of one process; 0 when it is gone."""
    with contextlib.suppress(OSError):
        return read_stat((PROC / str(pid) / "stat").read_text()).own / TICKS_A_SECOND
    return 0.0


def family(pid: int, stats: dict[int, Stat]) -> set[int]:
    """A process and its living descendants."""
    found = {pid}
    while more := {child for child, stat in stats.items() if stat.parent in found} - found:
        found |= more
    return found


def tree_cpu_s(pid: int, without: Collection[int] = ()) -> float:
    """User and system time of a process, its living descendants but those in ``without``, and those that ended."""
    stats = _all_stats()
    counted = [stats[member] for member in family(pid, stats) if member in stats and member not in without]
    return sum(stat.own + stat.ended_children for stat in counted) / TICKS_A_SECOND


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return _status_bytes(pid, "VmRSS")


def private_bytes(pid: int) -> int:
    """Resident memory that is no file's and not shared, so without PostgreSQL's buffers; 0 when it is gone."""
    with contextlib.suppress(OSError):
        return _status_bytes(pid, "RssAnon")
    return 0


def tree_private_bytes(pid: int) -> int:
    """Of a process and its living descendants."""
    return sum(map(private_bytes, family(pid, _all_stats())))


def _status_bytes(pid: int, name: str) -> int:
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
