"""The catalogue of what is taken and kept (audit_catalogue.toml), and the tables of docs/privacy.md made from it.

``python -m tools.audit_catalogue`` writes the tables between their marks; a test wants them current.
"""

from __future__ import annotations

import fnmatch
import re
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs/privacy.md"
_BLOCK = re.compile(r"(<!-- made by `make generated`: ([a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
PERSON = {
    "no": "no",
    "visit": "of one hit",
    "text": "of one hit, written text",
    "pseudonym": "pseudonymous, then anonymous",
}

Catalogue = dict[str, Any]


class NoBlock(Exception):
    """The document has no place for a table, or one for a table that is not made."""


def load_catalogue() -> Catalogue:
    """The catalogue, as it stands in its file."""
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a relation is one of those named, `*` standing for anything."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table as Markdown has it."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _rights(role: dict[str, Any]) -> str:
    reads = _code(role["reads"])
    return f"{reads}; reads and writes rows of {_code(role['writes'])}" if "writes" in role else reads


def _taken(part: dict[str, Any], kind: str) -> str:
    def name_of(name: str, entry: dict[str, Any]) -> str:
        return name if "connection" in name else _code(entry.get("names", [name]))

    rows = (
        (name_of(name, entry), entry["use"], entry["kept"], _code(entry["becomes"]) or "nothing")
        for name, entry in part.items()
    )
    return table((kind, "used for", "kept", "field of the raw hit"), rows)


def _tables(catalogue: Catalogue) -> str:
    rows = (
        (f"`{name}`", table["use"], table["kept"], _code(table["columns"]))
        for name, table in catalogue["tables"].items()
    )
    return table(("table", "what for", "kept", "columns"), rows)


def _columns(catalogue: Catalogue) -> str:
    def tables_of(column: str) -> str:
        names = [name for name, table in catalogue["tables"].items() if column in table["columns"]]
        rollups = [name for name in names if name.startswith("rollup_")]
        if len(rollups) > 3:
            names = [name for name in names if name not in rollups] + ["rollup_…"]
        return _code(names)

    return table(
        ("column", "meaning", "of a person", "in"),
        (
            (f"`{name}`", meaning, PERSON[person], tables_of(name))
            for name, (person, meaning) in catalogue["columns"].items()
        ),
    )


def tables_of_document(catalogue: Catalogue) -> dict[str, str]:
    """Each generated table by the name in its mark."""
    return {
        "parameters": _taken(catalogue["parameters"], "parameter"),
        "headers": _taken(catalogue["headers"], "of the request"),
        "raw-hit": table(("field", "what"), ((f"`{n}`", what) for n, what in catalogue["raw_hit"].items())),
        "tables": _tables(catalogue),
        "columns": _columns(catalogue),
        "roles": table(
            ("role", "who", "may read"),
            (
                (f"`{name}`", role["who"], role.get("works") or _rights(role))
                for name, role in catalogue["roles"].items()
            ),
        ),
        "device": table(
            ("what", "where", "content", "when"),
            ((item["name"], item["where"], item["what"], item["when"]) for item in catalogue["device"]),
        ),
        "script": table(
            ("read by the script", "what for"), ((f"`{n}`", use) for n, use in catalogue["script"].items())
        ),
        "settings": table(
            ("setting", "what it changes"), ((f"`{n}`", text) for n, text in catalogue["settings"].items())
        ),
    }


def filled(text: str, tables: dict[str, str]) -> str:
    """The document with its tables as they are to be. Raises ``NoBlock``."""
    named = [match[2] for match in _BLOCK.finditer(text)]
    if sorted(named) != sorted(tables):
        raise NoBlock(f"marks in the document: {sorted(named)}; tables: {sorted(tables)}")
    return _BLOCK.sub(lambda match: f"{match[1]}{tables[match[2]]}\n{match[3]}", text)


def main() -> int:
    """0; 1 when the document has no place for a table."""
    try:
        text = filled(DOCUMENT.read_text(encoding="utf-8"), tables_of_document(load_catalogue()))
    except NoBlock as error:
        print(f"{DOCUMENT}: {error}", file=sys.stderr)
        return 1
    DOCUMENT.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
