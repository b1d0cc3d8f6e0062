"""A page of docs/ as tests read it: its fenced blocks by language, its tables by heading."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCED = re.compile(r"^```(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Guide:
    """A page of documentation."""

    def __init__(self, name: str) -> None:
        self.text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        self._prose = _FENCED.sub("", self.text)

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks in a language, in their order."""
        return [text for found, text in _FENCED.findall(self.text) if found == language]

    def tables(self) -> list[list[list[str]]]:
        """The tables: rows of cells, the head first."""
        lines = [line.strip() for line in self._prose.splitlines()]
        runs = [list(run) for is_row, run in groupby(lines, lambda line: line.startswith("|")) if is_row]
        return [[_cells(row) for row in (run[0], *run[2:])] for run in runs]

    def table(self, *head: str) -> list[list[str]]:
        """The rows of the table whose head begins with these cells. There is exactly one."""
        found = [table for table in self.tables() if tuple(table[0][: len(head)]) == head]
        assert len(found) == 1, f"{len(found)} tables begin with {head}"
        return found[0][1:]

    def codes(self) -> set[str]:
        """All that stands in `code` outside of blocks."""
        return set(re.findall(r"`([^`\n]+)`", self._prose))


def _cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def codes_of(cell: str) -> list[str]:
    """What stands in `code` in a cell."""
    return re.findall(r"`([^`]+)`", cell)
