"""The numbers that the bench takes from the environment."""

from __future__ import annotations

import os

from bench.load import BenchError


def whole_number(name: str, default: int, least: int = 1, *, or_none: bool = False) -> int:
    """A setting; ``or_none``: 0 too, which leaves its part out. Raises ``BenchError``."""
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not (int(text) >= least or (or_none and int(text) == 0)):
        raise BenchError(
            f"{name}: {text!r} is not a whole number from {least} up" + (", or 0" if or_none else "")
        )
    return int(text)


def whole_numbers(name: str, default: tuple[int, ...], least: int = 1) -> tuple[int, ...]:
    """A setting of several, comma-separated. Raises ``BenchError``."""
    words = (os.environ.get(name) or ",".join(map(str, default))).split(",")
    if not all(word.strip().isdecimal() and int(word) >= least for word in words):
        raise BenchError(
            f"{name}: {','.join(words)!r} are not whole numbers from {least} up, comma-separated"
        )
    return tuple(sorted({int(word) for word in words}))
