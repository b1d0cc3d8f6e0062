"""What a pixel left in its spool is sent on by another pixel: in order, whole, and its keys wait for it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis

from services.hit_stream import STREAM, connect_async
from services.pixel.group_commit import GroupCommit
from services.pixel.left_spools import LeftSpools
from services.pixel.spool import FILE_NAME, HEAD, HOLDER_NAME, Spool
from tests.services.conftest import hits_in
from tests.services.pixel.test_group_commit import Parts, submit, until
from tools.servers import free_port

pytestmark = pytest.mark.servers
ROOMY = 1 << 20


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    made = Parts(tmp_path)
    yield made
    await made.close()


async def leave_hits(parts: Parts, slot: str, number: int) -> None:
    """A pixel without a Redis answers so many hits, one after the other, and is gone."""
    commit = parts.make(f"redis://127.0.0.1:{free_port()}/0", spool=slot)
    for place in range(number):
        assert await submit(commit, title=f"{slot} {place}")[0]
    await parts.close()


def finder(parts: Parts, url: str, commit: GroupCommit) -> LeftSpools:
    folder = parts.folder
    client = connect_async(url, "", timeout_s=1)
    return LeftSpools(folder / "spool", ROOMY, folder / "keys", commit, client, parts.log)  # type: ignore[arg-type]


async def test_all_slots_are_emptied_in_order_and_keys_are_held_until_the_stream_is(
    parts: Parts, redis_url: str
) -> None:
    await leave_hits(parts, "spool", 3)
    await leave_hits(parts, "spool/2", 2)
    assert parts.held()
    commit = parts.make(redis_url, spool="spool/3")
    left = finder(parts, redis_url, commit)
    await left.look()
    titles = [hit.title for hit in hits_in(redis_url, parts.keys)]
    assert titles == ["spool 0", "spool 1", "spool 2", "spool/2 0", "spool/2 1"]
    assert (left.waiting_bytes, commit.spooling) == (0, False)
    assert parts.held(), "the enricher has not come yet"
    Spool(parts.folder / "spool/2", ROOMY).close()  # a pixel may have the slot all the same
    await left.look()
    assert parts.held()
    redis.Redis.from_url(redis_url).xtrim(STREAM, maxlen=0)  # as if all were enriched
    await left.look()
    assert parts.held() == []
    Spool(parts.folder / "spool", ROOMY).close()  # the slot is free again


async def test_keys_of_a_pixel_that_had_sent_all_but_not_seen_it_enriched_are_let_go(
    parts: Parts, redis_url: str
) -> None:
    await leave_hits(parts, "spool/2", 1)
    (parts.folder / "spool/2/groups").write_bytes(b"")
    assert parts.held()
    await finder(parts, redis_url, parts.make(redis_url, spool="spool")).look()
    assert parts.held() == []


async def test_a_slot_in_use_is_left_alone(parts: Parts, redis_url: str) -> None:
    beside = parts.make(f"redis://127.0.0.1:{free_port()}/0", spool="spool/2")
    assert await submit(beside)[0]
    left = finder(parts, redis_url, parts.make(redis_url, spool="spool"))
    await left.look()
    assert hits_in(redis_url, parts.keys) == []
    assert beside.spooled.waiting_bytes > 0


async def test_while_redis_is_away_all_stays_where_it_is(parts: Parts, redis_url: str) -> None:
    await leave_hits(parts, "spool/2", 2)
    away = parts.make(f"redis://127.0.0.1:{free_port()}/0", spool="spool")
    assert await submit(away)[0]
    await until(lambda: away.link.is_away)
    left = finder(parts, redis_url, away)
    await left.look()
    assert left.waiting_bytes > 0
    assert parts.held()


async def test_readers_are_answered_while_a_large_spool_is_read(parts: Parts, redis_url: str) -> None:
    record = HEAD.pack(1, zlib.crc32(b"x")) + b"x"
    (parts.folder / "spool/2").mkdir(parents=True)
    (parts.folder / "spool/2" / HOLDER_NAME).write_text("left")
    (parts.folder / "spool/2" / FILE_NAME).write_bytes(record * 500_000)
    away = parts.make(f"redis://127.0.0.1:{free_port()}/0", spool="spool")
    assert await submit(away)[0]
    looking = asyncio.create_task(finder(parts, redis_url, away).look())
    turns = 0
    while not looking.done():
        await asyncio.sleep(0.001)
        turns += 1
    await looking
    assert turns > 5


async def test_a_slot_that_cannot_be_read_keeps_no_other_waiting(parts: Parts, redis_url: str) -> None:
    await leave_hits(parts, "spool/4", 1)
    for slot, holder in (("2", b"\xff"), ("3", None)):
        (parts.folder / "spool" / slot).mkdir()
        (parts.folder / "spool" / slot / FILE_NAME).write_bytes(b"x")
        place = parts.folder / "spool" / slot / HOLDER_NAME
        place.mkdir() if holder is None else place.write_bytes(holder)
    await finder(parts, redis_url, parts.make(redis_url, spool="spool")).look()
    assert [hit.title for hit in hits_in(redis_url, parts.keys)] == ["spool/4 0"]
    assert parts.log.actions.count("left-spool-waits") == 2
