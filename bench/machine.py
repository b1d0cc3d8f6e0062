"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from bench.load import BenchError, find_wrk

PROXIES = ("nginx", "caddy")
PACKAGES = ("aiohttp", "uvloop", "redis", "psycopg")


def describe(servers: dict[str, str]) -> dict[str, str | int]:
    """Cores, kernel, versions; no name and no address of the machine."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000,
        "kernel": platform.release(),
        "python": platform.python_version(),
        **servers,
        **{package: version(package) for package in PACKAGES},
        "wrk": _wrk_version(),
        **{name: found for name in PROXIES if (found := _version_said(name))},
    }


def _version_said(program: str) -> str:
    """By a program that may not be there."""
    path = shutil.which(program)
    if path is None:
        return ""
    flag = "version" if program == "caddy" else "-v"
    said = subprocess.run([path, flag], capture_output=True, text=True, check=False)
    match = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    return match[0] if match else "unknown"


def _cpu_model() -> str:
    match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()


def _wrk_version() -> str:
    try:
        said = subprocess.run([find_wrk(), "-v"], capture_output=True, text=True, check=False).stdout
    except BenchError:
        return "none"
    match = re.search(r"\d+\.\d+\.\d+\S*", said)
    return match[0] if match else "unknown"


def busy_share(seconds: float) -> float:
    """How busy the machine's cores are, 0 to 1: said before a run, for figures are worth less on a busy machine."""
    before = _cpu_line()
    time.sleep(seconds)
    spent = [after - earlier for after, earlier in zip(_cpu_line(), before, strict=True)]
    return 1 - (spent[3] + spent[4]) / max(1, sum(spent))  # idle and waiting for disks


def _cpu_line() -> list[int]:
    return [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
