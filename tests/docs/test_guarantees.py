"""docs/guarantees.md names tests, and they are there."""

from __future__ import annotations

import re

import pytest

from tests.docs.guide import ROOT

NAMED = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (ROOT / "docs/guarantees.md").read_text())


@pytest.mark.parametrize(("path", "test"), NAMED)
def test_the_test_that_proves_it_exists(path: str, test: str) -> None:
    assert f"def {test}(" in (ROOT / path).read_text()


def test_each_row_names_one() -> None:
    text = (ROOT / "docs/guarantees.md").read_text()
    table = text.partition("## Which fault")[2].partition("## A long run")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 15
    assert all("`tests/" in row for row in rows)
