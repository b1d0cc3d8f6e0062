"""A stack of the bench's own, as make bench starts it, for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from bench.stack import Stack, running_stack


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """With the default settings; skipped where the load generator is missing."""
    if shutil.which("wrk") is None:
        pytest.skip("no wrk on the PATH (Debian: wrk)")
    with running_stack() as stack:
        yield stack
