"""A Redis, or a disk, that is slow and not away: nobody waits for the whole queue before them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.hit import MAX_GROUP_HITS
from tests.services.conftest import OwnRedis, groups_in
from tests.services.pixel.test_group_commit import ANSWER_WITHIN_S, Parts, submit, until
from tools.fault_proxy import FaultProxy
from tools.servers import free_port

pytestmark = pytest.mark.servers
HITS = 10 * MAX_GROUP_HITS  # ten round trips one after the other would take 4 s


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    made = Parts(tmp_path)
    yield made
    await made.close()


@pytest.fixture
def proxy(own_redis: OwnRedis) -> Iterator[FaultProxy]:
    made = FaultProxy(own_redis.server.port)
    yield made
    made.close()


async def test_a_queue_before_a_slow_redis_is_answered_within_2_s(
    parts: Parts, own_redis: OwnRedis, proxy: FaultProxy
) -> None:
    commit = parts.make(f"redis://127.0.0.1:{proxy.port}/0", spool_bytes=100_000_000)
    assert await submit(commit)[0]
    proxy.slow(bytes_per_s=0, latency_s=0.1)
    started = time.monotonic()
    answers = submit(commit, HITS)
    assert all(await asyncio.gather(*answers))
    took_s = time.monotonic() - started
    proxy.heal()
    await until(lambda: not commit.degraded(), within_s=20)
    groups = {(group.pixel_id, group.seq): group.hits for group in groups_in(own_redis.url)}
    assert sum(groups.values()) == HITS + 1
    assert took_s < ANSWER_WITHIN_S


async def test_without_redis_a_disk_that_is_slow_or_hangs_is_said_within_2_s(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = parts.make(f"redis://127.0.0.1:{free_port()}/0", spool_bytes=100_000_000)
    assert await submit(commit)[0]
    released = threading.Event()
    monkeypatch.setattr(os, "fdatasync", lambda _: released.wait(30))
    started = time.monotonic()
    answers = submit(commit, MAX_GROUP_HITS + 1)
    assert not any(await asyncio.gather(*answers))
    took_s = time.monotonic() - started
    released.set()
    assert took_s < ANSWER_WITHIN_S
    monkeypatch.undo()
    await until(lambda: commit._waiting_hits == 0)
    refused = sum(number for (_, _, _, reason), number in commit._left_out.items() if reason == "not-durable")
    assert refused == 1, "of the second group; the first is on disk, and counts"
    assert await submit(commit)[0], "and it goes on"
