"""The enricher's parts for a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.settings import Settings
from tests.conftest import Database
from tests.services.enricher.parts import Bench


@pytest.fixture
def database(emptied_database: Database) -> Database:
    """One database for the tests of a module, emptied before each."""
    return emptied_database


@pytest.fixture
def bench(settings: Settings) -> Iterator[Bench]:
    """An enricher's parts on the test's own database and Redis."""
    made = Bench(settings)
    yield made
    made.close()


@pytest.fixture
def database_role() -> str:
    """With the rights of the deployed one, and no more."""
    return "footfall_enricher"
