"""Writes services/pixel/tracker.min.js from tracker.js: ``make generated``. The pixel needs no minifier."""

from __future__ import annotations

from pathlib import Path

import minify

SOURCE = Path(__file__).resolve().parents[1] / "services/pixel/tracker.js"
TARGET = SOURCE.with_name("tracker.min.js")
FIRST_LINE = "// Generated from tracker.js by `make generated`; do not edit."


def minified(source: str) -> str:
    """The text of tracker.min.js: a line that says how it is made, and the code."""
    return f"{FIRST_LINE}\n{minify.string('application/javascript', source)}\n"


if __name__ == "__main__":
    TARGET.write_text(minified(SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
