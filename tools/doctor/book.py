"""What each check looks at, and of each of its faults what it means and how to mend it: ``faults.toml``."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

Level = Literal["wrong", "warning"]


class Fault(NamedTuple):
    """Something that a check may find."""

    name: str
    level: Level
    when: str
    means: str
    mend: str


class Entry(NamedTuple):
    """A check, in words."""

    name: str
    looks_at: str
    asks: str  # whom it asks, so from where it can be made
    faults: dict[str, Fault]


@cache
def load_book() -> dict[str, Entry]:
    """The checks by name, in the order in which they are made."""
    text = Path(__file__).with_name("faults.toml").read_text(encoding="utf-8")
    return {
        name: Entry(
            name,
            entry["looks_at"],
            entry["asks"],
            {key: Fault(key, **fault) for key, fault in entry.items() if isinstance(fault, dict)},
        )
        for name, entry in tomllib.loads(text).items()
    }
