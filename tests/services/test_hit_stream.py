"""The reading side of the stream, where the other tests of the enricher do not come."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from services.hit_stream import FIELD, GROUP, STREAM, HitStream
from tests.services.conftest import OwnRedis

pytestmark = pytest.mark.servers


def test_an_enricher_begins_on_a_redis_that_is_out_of_memory_and_frees_it(own_redis: OwnRedis) -> None:
    """Would it wait for room, nobody made any: what fills Redis is the stream."""
    client: Any = redis.Redis.from_url(own_redis.url)
    HitStream(client, "former").ensure_group()
    client.xadd(STREAM, {FIELD: b"a group"})
    client.config_set("maxmemory", 1)
    stream = HitStream(client, "next")
    stream.ensure_group()
    [entry] = stream.read(10, block_ms=100)
    stream.ack([entry.entry_id])
    assert client.xlen(STREAM) == 0


def test_the_group_is_made_on_a_stream_that_others_began(own_redis: OwnRedis) -> None:
    client: Any = redis.Redis.from_url(own_redis.url)
    client.xadd(STREAM, {FIELD: b"a group"})
    for _ in range(2):
        HitStream(client, "one").ensure_group()
    assert [group["name"] for group in client.xinfo_groups(STREAM)] == [GROUP.encode()]
