"""Wires to the servers that can be broken, and services behind them as processes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.settings import Settings
from tests.conftest import Database
from tests.faults.wires import Wires
from tests.services.conftest import emptied_database, module_database, own_redis
from tests.services.enricher.conftest import bench, database
from tools.servers import Redis

__all__ = ["bench", "database", "emptied_database", "module_database", "own_redis"]


@pytest.fixture
def wires(settings: Settings, database: Database, redis_server: Redis) -> Iterator[Wires]:
    """Proxies to both servers, which end with the test, and all processes behind them too."""
    made = Wires(settings, database, redis_server.port)
    yield made
    made.close()
