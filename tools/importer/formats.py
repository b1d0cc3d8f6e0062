"""The formats of access logs, and which one a log has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tools.access_log import Line, parse_combined, parse_common
from tools.importer.caddy_log import parse_caddy

Parse = Callable[[str], Line | None]
FORMATS: dict[str, Parse] = {"combined": parse_combined, "common": parse_common, "caddy": parse_caddy}


def text_of(line: bytes) -> str:
    """A line as text; what is no UTF-8 becomes U+FFFD."""
    return line.decode("utf-8", "replace")


def format_of(lines: Sequence[bytes]) -> str:
    """The format that most of the lines have; empty: none of them has one."""
    texts = [text_of(line) for line in lines]
    read = {name: sum(parse(text) is not None for text in texts) for name, parse in FORMATS.items()}
    best = max(read, key=lambda name: read[name])
    return best if read[best] else ""
