"""What the services' tests share: hypothesis's profile, and a Redis of a test's own that may be stopped."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import tests.strategies  # noqa: F401 - registers and loads hypothesis's profile
from services.hit import Group, RawHit, decode_group, open_group
from services.hit_stream import FIELD, STREAM
from services.sealing import SealingKeys
from tests.conftest import start_server
from tools.servers import Redis, free_port

_numbers = itertools.count(1)


class OwnRedis:
    """A Redis that a test may stop, kill and start again; it fsyncs every write, as a deployed one does."""

    def __init__(self, server: Redis, log: Path) -> None:
        self.server = server
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.server.port}/0"

    def start(self) -> None:
        self.process = start_server(self.server, self._log)

    def send(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)


@pytest.fixture
def own_redis(redis_server: Redis, servers_folder: Path) -> Iterator[OwnRedis]:
    """A Redis of the test's own."""
    name = f"redis-{next(_numbers)}"
    server = Redis(redis_server.binaries, servers_folder / name, free_port(), appendfsync="always")
    own = OwnRedis(server, servers_folder / f"{name}.log")
    own.start()
    yield own
    own.send(signal.SIGCONT)
    own.kill()


def groups_in(url: str) -> list[Group]:
    """The groups on the stream, as they lie there."""
    client: Any = redis.Redis.from_url(url)
    return [decode_group(fields[FIELD]) for _, fields in client.xrange(STREAM)]


def hits_in(url: str, keys: SealingKeys) -> list[RawHit]:
    """The raw hits on the stream."""
    return [hit for group in groups_in(url) for hit in open_group(group, keys)]
