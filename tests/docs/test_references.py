"""Tests that documents name exist."""

from __future__ import annotations

import re

import pytest

from tests.system.stack import ROOT

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NAMED = re.compile(r"`(tests/[a-z0-9_/]+\.py)(?:::(\w+))?`")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_tests_that_a_document_names_exist(path: object) -> None:
    missing = []
    for file, name in NAMED.findall(path.read_text()):  # type: ignore[attr-defined]
        source = ROOT / file
        if not source.is_file() or (name and f"def {name}(" not in source.read_text()):
            missing.append(f"{file}::{name}")
    assert not missing


def test_there_are_such_names() -> None:
    assert NAMED.search((ROOT / "docs/security.md").read_text())
