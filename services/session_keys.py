"""Session ids, and the keys under which they are derived: one a day, and one an import.

*Session keys*, one a day (reporting time zone): the enricher derives session ids under it and destroys it when the
day's hits are enriched. A day that is over has none, so its hits have no session.
*One-off keys*, one an import of hits of the past: made by the tool that writes them, named in the clear part of their
groups, destroyed by the tool when the last of these groups is stored. The enricher destroys it where the tool was
killed. Sessions of an import hold within it and within one day, and share nothing with those of live hits.
"""

from __future__ import annotations

import datetime
import hashlib
import secrets
import threading
from pathlib import Path
from zoneinfo import ZoneInfo

from services.sealing import GRACE, KeyFiles, hour_end_s, hour_name

# Contract guarantee 3: a day's key is destroyed at the latest 6 h after the day's end.
SESSION_KEY_LATEST = datetime.timedelta(hours=6)
# After the end of the hour in which a one-off key was made: an import of 100 million hits at 5,000/s.
ONE_OFF_KEY_LATEST = datetime.timedelta(hours=6)
# A key of a later hour than the next was made by a clock that ran ahead: nothing says when its time is over.
_AHEAD_S = 2 * 3_600
# The bits of a UUID that name its version and its variant, and what they are here.
_NOT_OF_HASH, _VERSION_8 = 0xF000 << 64 | 0xC000 << 48, 0x8000 << 64 | 0x8000 << 48
MAX_KNOWN_KEYS = 400  # in memory: a year of days that a backlog or an import may hold
_DAY_LENGTH = len("2026-11-22")  # an import's key has a longer name


class OneOffKeys:
    """The keys of imports. Their names tell the hour in which they were made, so that their end is known."""

    def __init__(self, directory: Path) -> None:
        self._files = KeyFiles(directory, "import")

    def make(self, now: datetime.datetime) -> str:
        """Make a key; its name. Raises OSError."""
        name = f"{hour_name(now.timestamp())}-{secrets.token_hex(8)}"
        self._files.get_or_make(name)
        return name

    def read(self, name: str) -> bytes | None:
        """The key; None when there is none or it is destroyed. Raises OSError."""
        return self._files.read(name)

    def is_alive(self, name: str) -> bool:
        """Whether the key is there and not destroyed."""
        return self._files.is_alive(name)

    def destroy(self, name: str) -> bool:
        """Make the key unreadable for good; whether there was one."""
        return self._files.destroy(name)

    def destroy_late(self, now: datetime.datetime) -> list[str]:
        """Destroy the keys that nobody has destroyed in time; their names."""
        names = [name for name in self._files.names() if _is_late(name, now)]
        return [name for name in names if self._files.destroy(name)]


def one_off_key_end(name: str) -> datetime.datetime:
    """The end of the hour in which a one-off key was made, UTC."""
    return datetime.datetime.fromtimestamp(hour_end_s(name.partition("-")[0]), datetime.UTC)


def _is_late(name: str, now: datetime.datetime) -> bool:
    after_s = (now - one_off_key_end(name)).total_seconds()
    return after_s > (ONE_OFF_KEY_LATEST - GRACE).total_seconds() or after_s < -_AHEAD_S


def _hash_under(key: bytes) -> hashlib.blake2b:
    """Keyed BLAKE2b, 128 bits. A session copies it, which with hashing takes 0.6 µs instead of 1.2."""
    return hashlib.blake2b(digest_size=16, key=key, person=b"footfall session")


def _session_of(hasher: hashlib.blake2b, site: str, address: str, user_agent: str) -> bytes:
    """The bytes of a UUID of version 8 (RFC 9562: made by a rule of our own).

    Parts are joined by their lengths, so that no two lists join to one text.
    """
    of_site, of_address = site.encode(), address.encode()
    digest = hasher.copy()
    digest.update(b"%d,%d|%s%s%s" % (len(of_site), len(of_address), of_site, of_address, user_agent.encode()))
    number = int.from_bytes(digest.digest(), "big")
    return (number & ~_NOT_OF_HASH | _VERSION_8).to_bytes(16, "big")


def _key_of_day(one_off_key: bytes, day: str) -> bytes:
    """What an import's key is on one day: no session outlives its day."""
    return hashlib.blake2b(day.encode(), digest_size=32, key=one_off_key, person=b"footfall one-off").digest()


class SessionKeys:
    """Derives session ids under the key of a day. ``destroy_late`` may be called from another thread."""

    def __init__(self, directory: Path, timezone: ZoneInfo) -> None:
        self._files = KeyFiles(directory, "session")
        self._one_off = OneOffKeys(directory)
        self._timezone = timezone
        self._keys: dict[str, bytes | None] = {}
        # By import (None: live) and day; for as long as the keys are known.
        self._hashes: dict[tuple[str | None, str], hashlib.blake2b | None] = {}
        self._destroying = threading.Lock()  # or a key read just before would stay in memory for a round

    def end_of(self, day: str) -> datetime.datetime:
        """The moment at which a day ends, UTC."""
        after = datetime.date.fromisoformat(day) + datetime.timedelta(days=1)
        # In UTC, where 6 h later are 6 h: by the zone's own clock they are 5 or 7 when the clocks change.
        return datetime.datetime.combine(after, datetime.time(), self._timezone).astimezone(datetime.UTC)

    def _key(self, day: str, now: datetime.datetime) -> bytes | None:
        keys = self._keys
        if day not in keys:
            if len(keys) > MAX_KNOWN_KEYS:
                keys.clear()
            # Too late to begin: a key made now would outlive the promise.
            open_until = self.end_of(day) + SESSION_KEY_LATEST
            keys[day] = self._files.get_or_make(day) if now < open_until else self._files.read(day)
        return keys[day]

    def _key_of_import(self, name: str, day: str) -> bytes | None:
        keys = self._keys
        if name not in keys:
            keys[name] = self._one_off.read(name)
        key = keys[name]
        return None if key is None else _key_of_day(key, day)

    def session_id(
        self,
        day: str,
        site: str,
        address: str,
        user_agent: str,
        now: datetime.datetime,
        one_off_key: str | None = None,
    ) -> bytes | None:
        """The session of a person on a site on a day, of an import where its key is named.

        None when the key is destroyed, and for an import when there is none.
        """
        hashes = self._hashes  # this one: another thread may begin a new one, for which the key is gone
        try:
            hasher = hashes[one_off_key, day]
        except KeyError:
            hasher = hashes[one_off_key, day] = self._hash_of(day, now, one_off_key)
        return None if hasher is None else _session_of(hasher, site, address, user_agent)

    def _hash_of(self, day: str, now: datetime.datetime, one_off_key: str | None) -> hashlib.blake2b | None:
        if len(self._hashes) > MAX_KNOWN_KEYS:
            self._hashes.clear()
        key = self._key_of_import(one_off_key, day) if one_off_key else self._key(day, now)
        return None if key is None else _hash_under(key)

    def destroy_ended(self, now: datetime.datetime, oldest_entry_s: float | None) -> list[str]:
        """Destroy the keys of days that are over and enriched, and that nobody holds; their names."""
        enriched_until = (
            now if oldest_entry_s is None else datetime.datetime.fromtimestamp(oldest_entry_s, datetime.UTC)
        )
        destroyed = []
        with self._destroying:
            for day in self._files.names():
                enriched = self.end_of(day) + GRACE < min(now, enriched_until)
                if enriched and not self._files.is_held(day) and self._files.destroy(day):
                    destroyed.append(day)
            self._forget_destroyed()
        return destroyed

    def destroy_late(self, now: datetime.datetime) -> list[str]:
        """Destroy the keys of days that ended 6 h ago, whoever waits for them, and of old imports; their names."""
        # One minute early: "at the latest 6 h after its end" must hold for a slow round too.
        latest = SESSION_KEY_LATEST - GRACE
        with self._destroying:
            days = [day for day in self._files.names() if self.end_of(day) + latest < now]
            destroyed = [day for day in days if self._files.destroy(day)] + self._one_off.destroy_late(now)
            self._forget_destroyed()
        return destroyed

    def _forget_destroyed(self) -> None:
        """Keep in memory what is a key on disk; what is destroyed, here or by another process, is looked up anew.

        So is a day that had no key: a clock that ran ahead for a moment made it late for that moment only.
        """
        known = self._keys.copy()
        self._keys = {name: key for name, key in known.items() if key and self._read(name) == key}
        self._hashes = {}

    def _read(self, name: str) -> bytes | None:
        is_day = len(name) == _DAY_LENGTH
        return self._files.read(name) if is_day else self._one_off.read(name)
