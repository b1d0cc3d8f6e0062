"""Tests that documents name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.guide import ROOT

NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)(?:::(\w+))?`")
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_tests_that_a_document_names_exist(path: Path) -> None:
    missing = []
    for file, name in NAMED.findall(path.read_text()):
        source = ROOT / file
        if not source.is_file() or (name and f"def {name}(" not in source.read_text()):
            missing.append(f"{file}::{name}")
    assert not missing


def test_each_fault_and_each_threat_names_one() -> None:
    guarantees = (ROOT / "docs/guarantees.md").read_text()
    threats = (ROOT / "docs/security.md").read_text().partition("## Threats")[2].partition("## Reporting")[0]
    faults = guarantees.partition("## Which fault")[2].partition("## A long run")[0]
    for table, fewest in ((faults, 15), (threats, 12)):
        rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
        assert len(rows) > fewest
        unproven = [row for row in rows if "`tests/" not in row and "not fetched yet" not in row]
        assert not unproven
