"""Files that are made once, by whichever process comes first, and the passwords kept in such files."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

PASSWORDS = (
    "database", "redis", "enricher", "rollup", "analyst", "grafana_reader", "grafana_explorer", "grafana_admin",
)  # fmt: skip

# What each container needs to know; with Docker it sees a volume with these alone.
PASSWORDS_FOR = {
    "redis": ("redis",),
    "postgres": ("database",),
    "pixel": ("redis",),
    "enricher": ("redis", "enricher"),
    "rollup": ("redis", "rollup"),
    "grafana": ("grafana_admin", "grafana_reader", "grafana_explorer"),
}


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_once(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file unless it is there. Of several writers one wins, and nobody ever reads half a file.

    Made by root, it is the folder's owner's: who reads it is the service that works there.
    """
    if path.exists():
        return
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        try:
            os.fchmod(descriptor, mode)
            if os.geteuid() == 0:
                folder = path.parent.stat()
                os.fchown(descriptor, folder.st_uid, folder.st_gid)
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(scratch, path)
    finally:
        scratch.unlink()  # on a full disk, too: it is tried again and again
    sync_directory(path.parent)


def _password_path(key_dir: Path, name: str) -> Path:
    return key_dir / "passwords" / name


def make_passwords(key_dir: Path, mode: int = 0o600) -> None:
    """Make up every password that is not there yet: 48 random hexadecimal digits each."""
    directory = key_dir / "passwords"
    directory.mkdir(parents=True, exist_ok=True)
    for name in PASSWORDS:
        make_once(_password_path(key_dir, name), secrets.token_hex(24).encode(), mode)


def share_passwords(key_dir: Path, mode: int = 0o444) -> None:
    """Copy to each folder ``for/NAME`` that is there the passwords that NAME needs, and those alone."""
    for name, needed in PASSWORDS_FOR.items():
        folder = key_dir / "for" / name
        if not folder.is_dir():
            continue
        for password in needed:
            copy, wanted = folder / password, _password_path(key_dir, password).read_bytes()
            if copy.exists() and copy.read_bytes() != wanted:
                copy.unlink()  # a new one was made
            make_once(copy, wanted, mode)


def read_password(key_dir: Path, name: str) -> str:
    """A made-up password; empty where none was made (the owner's own server needs none of ours)."""
    try:
        return _password_path(key_dir, name).read_text().strip()
    except FileNotFoundError:
        return ""
