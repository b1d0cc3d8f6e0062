"""Makes what tests need: raw hits, rows, groups, settings; each with sane values that a test changes by name."""

from __future__ import annotations

import datetime
import itertools
import json
import uuid
from pathlib import Path
from typing import Any

from services.hit import Hit, LeftOut, RawHit, encode_group
from services.hit_stream import Entry
from services.sealing import SealingKeys, hour_name
from services.settings import Settings, load_settings

# Who must not be seen anywhere: a documentation address and a User-Agent that no list knows.
ADDRESS = "203.0.113.77"
USER_AGENT = (
    "Mozilla/5.0 (X11; Linux x86_64; CanaryPhone-7319) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.7319.5 Safari/537.36"
)
PIXEL_ID = bytes(range(16))
NOW = datetime.datetime(2026, 11, 22, 18, 30, tzinfo=datetime.UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
DAY = "2026-11-22"
SITE = "blog.example"
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

_numbers = itertools.count(1)


def number_to_id(number: int) -> bytes:
    """The sixteen bytes of a hit's id that a test can name by a number."""
    return number.to_bytes(16, "big")


def make_raw_hit(**differing: Any) -> RawHit:
    """A raw hit with an id of its own; ``id=7`` names it by a number."""
    number = differing.pop("id", None)
    values: dict[str, Any] = {
        "hit_id": number_to_id(next(_numbers) + 1_000_000 if number is None else number),
        "received_at_us": NOW_US,
        "day": DAY,
        "site": SITE,
        "url": "https://blog.example/a",
        "address": ADDRESS,
        "user_agent": USER_AGENT,
    }
    return RawHit(**(values | differing))


def unix_us(moment: datetime.datetime) -> int:
    """As a hit has it."""
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1)


def moment_of(hit: Hit) -> datetime.datetime:
    """When it was received, as the row has it."""
    return _EPOCH + datetime.timedelta(microseconds=hit.received_at_us)


def id_of(hit: Hit) -> uuid.UUID:
    """Its id, as the row has it."""
    return uuid.UUID(bytes=hit.hit_id)


def make_hit(**differing: Any) -> Hit:
    """A row of ``hits``: a human pageview, direct. Its ids may be given as UUIDs, its time as ``received_at``."""
    number = differing.pop("id", None)
    if "received_at" in differing:
        differing["received_at_us"] = unix_us(differing.pop("received_at"))
    for name in ("hit_id", "session_id"):
        if isinstance(differing.get(name), uuid.UUID):
            differing[name] = differing[name].bytes
    values: dict[str, Any] = dict.fromkeys(Hit.__struct_fields__)
    values |= {
        "hit_id": number_to_id(next(_numbers) + 1_000_000 if number is None else number),
        "received_at_us": NOW_US,
        "day": NOW.date(),
        "site": SITE,
        "host": SITE,
        "path": "/a",
        "event": "pageview",
        "channel": "Direct",
        "is_bot": False,
        "is_me": False,
    }
    return Hit(**(values | differing))


def make_settings(**environ: str) -> Settings:
    """Settings from these variables alone, not from the machine's."""
    return load_settings(environ)


def encode(
    hits: list[RawHit],
    sealer: SealingKeys,
    *,
    seq: int = 1,
    pixel_id: bytes = PIXEL_ID,
    key_name: str | None = None,
    left_out: list[LeftOut] | None = None,
    abandoned: list[int] | None = None,
    one_off_key: str | None = None,
) -> bytes:
    """A group's bytes, as the pixel writes them at ``NOW``."""
    return encode_group(
        hits,
        pixel_id=pixel_id,
        seq=seq,
        key_name=key_name or hour_name(NOW.timestamp()),
        sealer=sealer,
        left_out=left_out,
        abandoned=abandoned,
        one_off_key=one_off_key,
    )


def make_entry(data: bytes, number: int = 1, deliveries: int = 1) -> Entry:
    """An entry as the stream hands it out, taken at ``NOW``."""
    return Entry(f"{NOW_US // 1000}-{number}", data, deliveries)


def make_keys(folder: Path) -> SealingKeys:
    """Sealing keys in a folder."""
    return SealingKeys(folder / "keys")


class Log:
    """A logger that remembers its lines as JSON, as they would stand on standard error."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _say(self, level: str, action: str, **values: Any) -> None:
        self.lines.append(json.dumps({"level": level, "action": action, **values}, default=str))

    def info(self, action: str, **values: Any) -> None:
        self._say("info", action, **values)

    def warning(self, action: str, **values: Any) -> None:
        self._say("warning", action, **values)

    def error(self, action: str, **values: Any) -> None:
        self._say("error", action, **values)

    @property
    def actions(self) -> list[str]:
        return [json.loads(line)["action"] for line in self.lines]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)
