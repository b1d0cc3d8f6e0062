"""Keys that are random, short-lived, kept apart from the data, and destroyed.

*Sealing keys*, one an hour (UTC): the pixel seals address and User-Agent (and all else of a raw hit) under
it; the enricher destroys it when its hour is enriched, which makes every copy of the stream unreadable.
*Session keys*, one a day or an import: see ``services.session_keys``.

A key is a file of 32 bytes in KEY_DIR, shared by all processes of a machine. It is made by whoever needs it
first (link(2) lets one of several win) and on disk before it is used. Destroyed means: shortened, which is
no key's length, overwritten, synced, and emptied, so that nobody makes it anew; the empty file goes a week later.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import secrets
import time
from collections.abc import Collection
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.key_files import make_once, sync_directory

KEY_BYTES = 32
NONCE_BYTES = 12  # AES-GCM; random, which is safe for 2^32 groups under one key, a key lives an hour
MARKER_SECONDS = 7 * 86_400  # how long the empty file of a destroyed key stays

HOURS_AHEAD = 24  # how far a clock may have run ahead
# A group sealed at the end of an hour may reach the stream a little later: the pixel gives up after 2 s.
SEALING_GRACE_SECONDS = 60
GRACE = datetime.timedelta(seconds=SEALING_GRACE_SECONDS)


# An hour, a day, an import (services.session_keys).
_NAME = re.compile(r"[0-9]{10}|[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{10}-[0-9a-f]{16}")


class KeyFiles:
    """The keys of one kind in a directory, by name. Names are chosen here, never by a sender."""

    def __init__(self, directory: Path, kind: str) -> None:
        self._directory = directory
        self._kind = kind
        self._prefix = f"{directory}/{kind}-"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        return self._directory / f"{self._kind}-{name}.key"

    def read(self, name: str) -> bytes | None:
        """The key; None when there is none or it is destroyed. Raises OSError, also when KEY_DIR itself is gone."""
        try:
            key = self.path(name).read_bytes()
        except FileNotFoundError:
            if not self._directory.is_dir():
                raise  # not mounted: the keys are elsewhere, not destroyed
            return None
        # Nothing but zeros: it was opened as a key and read after it was overwritten.
        return key if len(key) == KEY_BYTES and any(key) else None

    def get_or_make(self, name: str) -> bytes | None:
        """The key, made if it never was; None when it is destroyed. Raises OSError."""
        make_once(self.path(name), secrets.token_bytes(KEY_BYTES))
        sync_directory(self._directory)  # whoever made it may not have come so far yet, or was killed
        return self.read(name)

    def is_alive(self, name: str) -> bool:
        """Whether the key is there and not destroyed."""
        return self._size(name) == KEY_BYTES

    def is_destroyed(self, name: str) -> bool:
        """Whether the key was there and is destroyed, or about to be."""
        return self._size(name) not in (None, KEY_BYTES)

    def _size(self, name: str) -> int | None:
        # Both are asked for each group that is sealed: by os.stat 2 µs, by pathlib 8.
        try:
            return os.stat(f"{self._prefix}{name}.key").st_size
        except FileNotFoundError:
            return None

    def destroy(self, name: str) -> bool:
        """Make the key unreadable for good; whether there was one."""
        path = self.path(name)
        try:
            descriptor = os.open(path, os.O_WRONLY)
        except FileNotFoundError:
            return False
        try:
            if os.fstat(descriptor).st_size == 0:
                return False
            # Shortened first: whoever looks in between must not take the zeros for a key, and where this process
            # is killed in between, what is left is no key either and is destroyed by the next.
            os.ftruncate(descriptor, KEY_BYTES - 1)
            os.write(descriptor, bytes(KEY_BYTES - 1))
            os.fsync(descriptor)
            os.ftruncate(descriptor, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return True

    def hold(self, name: str, holder: str) -> None:
        """Keep a key from being destroyed until ``release``; survives a restart of the holder."""
        make_once(self._hold_path(name, holder), b"")

    def release(self, holder: str) -> None:
        """End this holder's holds."""
        for path in self._directory.glob(f"{self._kind}-*.held-by-{holder}"):
            path.unlink(missing_ok=True)

    def is_holding(self, holder: str) -> bool:
        """Whether this holder holds any key."""
        return any(self._directory.glob(f"{self._kind}-*.held-by-{holder}"))

    def is_held(self, name: str) -> bool:
        """Whether anybody holds a key."""
        return any(self._directory.glob(f"{self._kind}-{name}.held-by-*"))

    def _hold_path(self, name: str, holder: str) -> Path:
        return self._directory / f"{self._kind}-{name}.held-by-{holder}"

    def names(self) -> list[str]:
        """Names of the keys that are not destroyed to the end; forgets markers older than a week."""
        alive = []
        prefix, suffix = f"{self._kind}-", ".key"
        for path in sorted(self._directory.glob(f"{prefix}*{suffix}")):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                name = path.name[len(prefix) : -len(suffix)]
                if not _NAME.fullmatch(name):
                    continue  # somebody else's file
                if status.st_size:
                    alive.append(name)
                elif time.time() - status.st_mtime > MARKER_SECONDS:
                    path.unlink()
        return alive


class KeyHolds:
    """Keeps the keys alive that hits need which wait elsewhere than on the stream: in a pixel's spool.

    The hours by which they are sealed, and their days, for the session; a day's hold ends with its 6 h.
    """

    def __init__(self, directory: Path, holder: str) -> None:
        self._kinds = (KeyFiles(directory, "seal"), KeyFiles(directory, "session"))
        self._holder = holder

    def hold(self, hours: Collection[str], days: Collection[str]) -> None:
        """Hold these keys too. Raises OSError."""
        for files, names in zip(self._kinds, (hours, days), strict=True):
            for name in names:
                files.hold(name, self._holder)

    @property
    def are_any(self) -> bool:
        """Whether a key is held in this name."""
        return any(files.is_holding(self._holder) for files in self._kinds)

    def release(self) -> None:
        """End all holds of this name. Raises OSError."""
        for files in self._kinds:
            files.release(self._holder)


def hour_name(now_s: float) -> str:
    """``2026112218``: the name of the sealing key of a moment."""
    return time.strftime("%Y%m%d%H", time.gmtime(now_s))


def hour_end_s(name: str) -> float:
    """Unix time at which the hour of a sealing key ends."""
    start = datetime.datetime.strptime(name, "%Y%m%d%H").replace(tzinfo=datetime.UTC)
    return start.timestamp() + 3_600


class SealingKeys:
    """Seals and unseals groups (``services.hit.Sealer``)."""

    def __init__(self, directory: Path) -> None:
        self._files = KeyFiles(directory, "seal")
        self._ciphers: dict[str, AESGCM] = {}

    def _cipher(self, name: str, *, make: bool) -> AESGCM | None:
        cipher = self._ciphers.get(name)
        if cipher is None:
            key = self._files.get_or_make(name) if make else self._files.read(name)
            if key is None:
                return None
            if len(self._ciphers) > 48:  # two days of hours: a long backlog must not collect keys
                self._ciphers.clear()
            cipher = self._ciphers[name] = AESGCM(key)
        return cipher

    def usable_name(self, now_s: float) -> str:
        """The name of this hour's key; a later hour's where a clock that ran ahead had this one destroyed."""
        for hours in range(HOURS_AHEAD):
            name = hour_name(now_s + 3_600 * hours)
            if not self._files.is_destroyed(name):
                return name
        return hour_name(now_s)

    def seal(self, key_name: str, plain: bytes, context: bytes) -> bytes:
        """Nonce and sealed bytes. Raises OSError when no key can be made or it is destroyed."""
        if key_name not in self._ciphers or not self._files.is_alive(key_name):
            self._ciphers.clear()  # the writer needs one hour only; what is destroyed leaves memory too
        cipher = self._cipher(key_name, make=True)
        if cipher is None:
            raise OSError(f"the sealing key {key_name} is destroyed already; is the clock right?")
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + cipher.encrypt(nonce, plain, context)

    def unseal(self, key_name: str, sealed: bytes, context: bytes) -> bytes | None:
        """The plain bytes; None when they were altered or the key is destroyed."""
        cipher = self._cipher(key_name, make=False)
        if cipher is None or len(sealed) < NONCE_BYTES:
            return None
        try:
            return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except InvalidTag:
            return None

    def destroy_ended(self, now_s: float, oldest_entry_s: float | None) -> list[str]:
        """Destroy the keys of hours that are over and enriched, and that nobody holds; their names.

        ``oldest_entry_s`` is the time of the oldest entry still on the stream, None when it is empty:
        entries lie there in the order of their writing, so no older hour has one left.
        """
        enriched_until_s = now_s if oldest_entry_s is None else min(now_s, oldest_entry_s)
        destroyed = []
        for name in self._files.names():
            over = hour_end_s(name) + SEALING_GRACE_SECONDS < enriched_until_s
            if over and not self._files.is_held(name) and self._files.destroy(name):
                destroyed.append(name)
        for name in [name for name in self._ciphers if self._files.read(name) is None]:
            del self._ciphers[name]  # destroyed here or by another process
        return destroyed
