"""The wire between pixel and Redis, broken at each step: every hit is taken, and counted once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
import uvloop

from services.pixel.group_commit import SPOOL_APART_S
from tests.conftest import Database
from tests.services.conftest import OwnRedis
from tests.services.enricher.parts import Bench, ledger
from tests.services.pixel.test_group_commit import ANSWER_WITHIN_S, Parts, identities, submit, until
from tools.fault_proxy import FaultProxy
from tools.servers import Redis, free_port

pytestmark = pytest.mark.servers


@pytest.fixture
def proxy(redis_server: Redis, redis_url: str) -> Iterator[FaultProxy]:
    made = FaultProxy(redis_server.port)
    yield made
    made.close()


def url_of(proxy: FaultProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


@pytest.mark.parametrize("then", ["cut", "hold"])
async def test_a_group_whose_answer_is_lost_is_sent_again_and_counted_once(
    tmp_path: Path, proxy: FaultProxy, bench: Bench, database: Database, then: Literal["cut", "hold"]
) -> None:
    """Lost with its connection, or never come: then the group is in the spool too."""
    parts = Parts(tmp_path)
    commit = parts.make(url_of(proxy))
    assert await submit(commit)[0]
    trap = proxy.trap(b"XADD", "answer", then)
    answers = submit(commit, 3)
    async with asyncio.timeout(ANSWER_WITHIN_S):
        assert all(await asyncio.gather(*answers))
    assert trap.reached.is_set()
    await until(lambda: not commit.spooling, 30)
    sent = identities(bench.settings.redis_url)
    await parts.close()
    assert (len(sent), len(set(sent))) == (3, 2), "it is on the stream twice"
    bench.drain(bench.consumer())
    assert ledger(database) == (4, 4, 0, 0)


@pytest.fixture
def nowhere() -> Iterator[FaultProxy]:
    """Takes connections and resets them at once: nobody listens behind it."""
    made = FaultProxy(free_port())
    yield made
    made.close()


def test_hits_are_taken_while_redis_resets_each_connection(tmp_path: Path, nowhere: FaultProxy) -> None:
    """On the pixel's own event loop, which says otherwise than Python's that a connection is gone."""

    async def taken(number: int) -> bool:
        parts = Parts(tmp_path / str(number))
        commit = parts.make(url_of(nowhere))
        try:
            return await submit(commit)[0]
        finally:
            await parts.close()

    async def run() -> list[bool]:
        done: list[bool] = []
        for number in range(
            0, 36, 12
        ):  # some tries in a hundred meet it; more at once would be late on their own
            done += await asyncio.gather(*map(taken, range(number, number + 12)))
        return done

    assert uvloop.run(run()) == [True] * 36


def test_looking_survives_a_redis_that_resets_each_connection(tmp_path: Path, nowhere: FaultProxy) -> None:
    """It runs beside all else for as long as the pixel does; ended by an error it would not be missed."""

    async def run() -> None:
        parts = Parts(tmp_path)
        commit = parts.make(url_of(nowhere), run=False)
        for _ in range(300):
            await commit.look()
        assert commit.link.is_away
        await parts.close()

    uvloop.run(run())


def test_a_task_ends_that_is_cancelled_while_redis_resets_its_connection(
    tmp_path: Path, nowhere: FaultProxy
) -> None:
    """It gets the connection's error then, in the place of ``CancelledError``: the pixel would never stop."""

    async def run() -> bool:
        parts = Parts(tmp_path)
        commit = parts.make(url_of(nowhere), run=False)
        assert await commit.spooled.put(b"a group", "", set())
        for number in range(5_000):  # one in a hundred meets it
            draining = asyncio.create_task(commit.spooled.drain())
            await asyncio.sleep(number % 60 / 20_000)  # up to 3 ms: somewhere between connecting and closing
            draining.cancel()
            done, _ = await asyncio.wait([draining], timeout=10)
            assert done, "it goes on"
            if not draining.cancelled():
                break
        await parts.close()
        return not draining.cancelled()

    assert uvloop.run(run()), "no try met it"


def test_the_spool_is_sent_on_after_a_redis_that_reset_each_connection(
    tmp_path: Path, own_redis: OwnRedis
) -> None:
    own_redis.kill()
    proxy = FaultProxy(own_redis.server.port)

    async def run() -> None:
        parts = Parts(tmp_path)
        commits = [parts.make(url_of(proxy)) for _ in range(20)]
        for commit in commits:
            commit.link.is_away = True  # else each waits 0.8 s first
        assert all(await asyncio.gather(*(submit(commit)[0] for commit in commits)))
        await asyncio.sleep(2.5)  # each tries to send its spool on meanwhile
        own_redis.start()
        await until(lambda: not any(commit.spooling for commit in commits), 30)
        await parts.close()

    with contextlib.closing(proxy):
        uvloop.run(run())
    assert len(set(identities(own_redis.url))) == 20


async def test_a_hit_whose_group_is_not_durable_in_time_is_answered_all_the_same(
    tmp_path: Path, proxy: FaultProxy
) -> None:
    """Redis hangs and the spool's disk too: a sender is told to come again, and what came counts once."""
    parts = Parts(tmp_path)
    commit = parts.make(url_of(proxy))
    assert await submit(commit)[0]
    proxy.stall()
    async with commit.spooled.disk:  # as while the disk takes seconds to sync
        began = asyncio.get_running_loop().time()
        async with asyncio.timeout(10):
            assert not await submit(commit)[0]
        assert asyncio.get_running_loop().time() - began < ANSWER_WITHIN_S
    proxy.heal()
    assert await submit(commit)[0]
    await until(lambda: not commit.spooling, 30)
    assert "answered-late" in parts.log.actions
    assert commit.hits == 3, "the late one is durable after all"
    await parts.close()


async def test_hits_share_groups_in_the_spool(tmp_path: Path, nowhere: FaultProxy) -> None:
    """An entry costs the enricher more than a hit: a backlog of small groups took twice as long to become rows."""
    parts = Parts(tmp_path)
    commit = parts.make(url_of(nowhere))
    assert await submit(commit)[0]
    before, loop = commit.groups, asyncio.get_running_loop()
    began = loop.time()
    answers: list[asyncio.Future[bool]] = []
    while loop.time() - began < 0.5:
        answers += submit(commit)
        await asyncio.sleep(0.001)
    assert all(await asyncio.gather(*answers))
    assert commit.groups - before <= 0.5 / SPOOL_APART_S + 2
    await parts.close()
