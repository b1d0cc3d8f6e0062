"""The parameters of a hit, one by one: as they are kept, or that they are bad. Pure functions that never raise."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from services.hit import MAX_EVENT, MAX_PROP_TEXT, MAX_PROPS, PAGEVIEW
from services.pixel.parameters import clean

# Of screens, languages and statuses there are few: a look-up takes 0.1 µs, the pattern 0.5.
MAX_CACHED_WORDS = 2_000
MAX_WORD = 60  # none of the three is longer
MAX_LANGUAGE = 35
MAX_ACCEPTED = 100  # of Accept-Language, whose first tag counts

_HEX = "[0-9A-Fa-f]"
_UUID = re.compile(f"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}")
SCREEN = re.compile(r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}", re.ASCII)
LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,5}", re.ASCII)
STATUS = re.compile(r"[1-5][0-9]{2}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Parameters = Mapping[str, Any]


def is_owner(cookie: str) -> bool:
    """Whether the cookie ``isMe=true`` is there."""
    return "isMe=" in cookie and any(part.strip() == "isMe=true" for part in cookie.split(";"))


def text_of(parameters: Parameters, name: str, longest: int) -> str | None:
    """A text parameter, cleaned and cut; empty when absent; None when it is no text."""
    value = parameters.get(name)
    if value is None or value == "":
        return ""
    if not isinstance(value, str):
        return None
    text = clean(value).strip()
    return text if len(text) <= longest else text[:longest]


def event_of(parameters: Parameters) -> str:
    """The event's name; ``invalid`` for a bad one, which must not count as a pageview."""
    value = parameters.get("event")
    if value is None or value in ("", PAGEVIEW):
        return PAGEVIEW
    if not isinstance(value, str):
        return "invalid"
    name = value.strip()
    bad = not name or len(name) > MAX_EVENT or _CONTROL.search(name) or clean(name) != name
    return "invalid" if bad else name


def _prop(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= MAX_PROP_TEXT and clean(value) == value
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, float) and math.isfinite(value)


def props_of(parameters: Parameters) -> tuple[dict[str, Any] | None, bool]:
    """The properties, and whether they were good."""
    value = parameters.get("props")
    if value is None or value == "":
        return None, True
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(clean(value))
        except (msgspec.DecodeError, RecursionError):
            return None, False
    if not isinstance(value, dict) or len(value) > MAX_PROPS:
        return None, False
    good = all(0 < len(key) <= MAX_EVENT and clean(key) == key and _prop(item) for key, item in value.items())
    return (value or None, True) if good else (None, False)


@lru_cache(MAX_CACHED_WORDS)
def _word(pattern: re.Pattern[str], text: str) -> str | None:
    text = text.strip()
    return text if pattern.fullmatch(text) else None


def matching(pattern: re.Pattern[str], parameters: Parameters, name: str) -> str | None:
    """A parameter that must match a pattern; empty when absent, None when it is bad."""
    value = parameters.get(name)
    if value is None or value == "":
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1_000:
        value = str(value)  # JSON's 404; a number of very many digits would raise here
    if not isinstance(value, str):
        return None
    if len(value) > MAX_WORD:
        value = value.strip()
    return _word(pattern, value) if len(value) <= MAX_WORD else None


@lru_cache(MAX_CACHED_WORDS)
def _first_word(header: str) -> str:
    tag = header.split(",", 1)[0].split(";", 1)[0].strip()
    return tag if len(tag) <= MAX_LANGUAGE and LANGUAGE.fullmatch(tag) else ""


def first_language(accept_language: str) -> str:
    """The first tag of Accept-Language; empty when it is none."""
    # No longer than what a cache may hold of each; a first tag within it stays whole, or is none.
    return _first_word(accept_language[:MAX_ACCEPTED])


def identity_of(parameters: Parameters) -> bytes | None:
    """The id that the sender made; empty when it made none, None when it is no UUID."""
    hit_id = parameters.get("id")
    if hit_id is None or hit_id == "":
        return b""
    if isinstance(hit_id, str) and _UUID.fullmatch(hit_id := hit_id.strip()):
        return bytes.fromhex(hit_id.replace("-", ""))  # 0.4 µs; uuid.UUID takes 2
    return None
