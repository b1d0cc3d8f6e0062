"""The stack that runs in DATA_DIR, for the tools that stand beside it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import IO

MAX_SOCKET_PATH = 100
LOCK_FILE = "supervisor.lock"  # held while a supervisor runs
SUPERVISOR_FILE = "supervisor.pid"
RENEWED_FILE = "renewed"  # how the last renewal went: empty, or what went wrong
STACK_FILE = "stack.json"  # the addresses; there once everything is ready


class NoStack(Exception):
    """Nothing runs in DATA_DIR; the text says what to do."""


def data_dir() -> Path:
    """DATA_DIR of this environment."""
    return Path(os.environ.get("DATA_DIR") or "./data")


def running_urls() -> dict[str, str]:
    """Addresses of the running stack, as `make urls` prints them. Raises ``NoStack``."""
    path = data_dir() / "run" / STACK_FILE
    try:
        if not _is_kept_running(path.with_name(LOCK_FILE)):
            raise FileNotFoundError
        urls: dict[str, str] = json.loads(path.read_text())
    except FileNotFoundError:
        raise NoStack(
            f"nothing runs in DATA_DIR {data_dir().resolve()}: start it with `make run`, "
            "or set the DATA_DIR that it was started with"
        ) from None
    except OSError as error:
        raise NoStack(f"{path}: {error.strerror}") from None
    return urls


def _is_kept_running(lock_file: Path) -> bool:
    """Whether its supervisor runs. Where there never was one, systemd keeps what ``tools.units`` has written down."""
    try:
        with lock_file.open() as lock:
            return _is_held(lock)
    except FileNotFoundError:
        return True


def _is_held(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def pixel_socket(folder: Path | None = None) -> Path:
    """The Unix socket on which the pixel takes hits from the owner's own tools.

    A socket's path may have 107 bytes: for a DATA_DIR that is deeper it stands in the folder for short-lived files.
    """
    folder = (folder or data_dir()).resolve()
    path = folder / "run/pixel.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"footfall-{os.getuid()}-{name}.sock"


def environ_of(service: str) -> dict[str, str] | None:
    """The environment that a service of the stack runs with; None where it is not ours to read."""
    try:
        pid = int((data_dir() / f"run/{service}.pid").read_text())
        lines = Path(f"/proc/{pid}/environ").read_text().split("\0")
    except (OSError, ValueError):
        return None
    return dict(line.partition("=")[::2] for line in lines if line)
