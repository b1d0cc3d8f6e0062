"""The tables of docs/doctor.md, from ``faults.toml``.

``python -m tools.doctor.document`` writes them between their marks; a test wants them current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from tools.audit_catalogue import NoBlock, filled, table
from tools.doctor.book import load_book

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/doctor.md"


def tables() -> dict[str, str]:
    """Each table by the name in its mark."""
    book = load_book()
    rows = ((f"`{entry.name}`", entry.looks_at, entry.asks) for entry in book.values())
    return {
        "checks": table(("check", "looks at", "asks"), rows),
        "faults": table(("fault", "", "when", "it means", "what mends it"), _faults()),
    }


def _faults() -> Iterator[tuple[str, ...]]:
    for entry in load_book().values():
        for fault in entry.faults.values():
            yield f"`{entry.name}` {fault.name}", fault.level, fault.when, fault.means, fault.mend


def main() -> int:
    """0; 1 when the document has no place for a table."""
    try:
        text = filled(DOCUMENT.read_text(encoding="utf-8"), tables())
    except NoBlock as error:
        print(f"{DOCUMENT}: {error}", file=sys.stderr)
        return 1
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
