"""Copies of the stream's file and of the spool are unreadable once their hour is enriched; nothing in flight is lost.

Keys are destroyed by the product's own functions, with a moved clock; nothing of the cryptography is a stand-in.
"""

from __future__ import annotations

import asyncio
import datetime
import itertools
import os
import random
import shutil
import signal
from pathlib import Path

import pytest
import redis
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.hit import Group, RawHit, UndecodableEntry, decode_group, open_group
from services.hit_stream import GROUP, STREAM, HitStream, connect, connect_async
from services.pixel.group_commit import GroupCommit
from services.pixel.redis_link import SEND_WITHIN_S
from services.pixel.spool import Spool
from services.sealing import NONCE_BYTES, SEALING_GRACE_SECONDS, KeyHolds, SealingKeys, hour_end_s, hour_name
from tests.make import Log, encode, make_keys, make_raw_hit
from tests.services.conftest import OwnRedis, groups_in
from tests.services.pixel.test_group_commit import submitted
from tools.servers import Redis, free_port, servers_user


async def _send(own: OwnRedis, folder: Path) -> None:
    """Hits of which some reach Redis and, as it stands still, some the spool; both are copied, then all sent on."""
    client = connect_async(own.url, "", timeout_s=SEND_WITHIN_S)
    spool = Spool(folder / "spool", 10_000_000)
    holds = KeyHolds(folder / "keys", spool.holder)
    commit = GroupCommit(client, make_keys(folder), spool, holds, Log(), 1_000_000)  # type: ignore[arg-type]
    tasks = [asyncio.create_task(work) for work in (commit.run(), commit.spooled.drain())]

    async def submit() -> None:
        assert await submitted(commit, make_raw_hit())

    await submit()
    own.send(signal.SIGSTOP)
    await submit()
    await submit()
    shutil.copytree(own.server.folder, folder / "copy of the stream")
    shutil.copytree(folder / "spool", folder / "copy of the spool")
    own.send(signal.SIGCONT)
    async with asyncio.timeout(20):
        while not spool.is_empty:  # noqa: ASYNC110 - another task drains it
            await asyncio.sleep(0.02)
    stream = HitStream(connect(own.url, "", timeout_s=5), "enricher-1")
    stream.ensure_group()
    entries = stream.read(100, 1_000)
    assert len(entries) >= 3
    stream.ack([entry.entry_id for entry in entries])  # as after the commit
    await commit.look()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.aclose()
    spool.close()


def _groups_of_copies(own: OwnRedis, folder: Path) -> list[Group]:
    """What the copies hold: a Redis starts on the one, the other is read as a pixel does."""
    copy = folder / "copy of the stream"
    user = servers_user()
    for path in (copy, *copy.rglob("*")) if user else ():
        os.chown(path, user.pw_uid, user.pw_gid)
    home = own.server.folder.with_name(own.server.folder.name + "-copy")
    copy.rename(home)
    other = OwnRedis(Redis(own.server.binaries, home, free_port()), folder / "copy.log")
    other.start()
    try:
        groups = groups_in(other.url)
    finally:
        other.kill()
    spool = Spool(folder / "copy of the spool", 10_000_000)
    spooled = [decode_group(data) for data in spool.next_groups(100, 10_000_000)]
    spool.close()
    assert groups
    assert spooled
    return groups + spooled


def _opened(groups: list[Group], key_dir: Path) -> list[RawHit]:
    """What can be read with all that is left in KEY_DIR: as the enricher does, and with every file as the key."""
    hits: list[RawHit] = []
    for group in groups:
        try:
            hits += open_group(group, SealingKeys(key_dir))
        except UndecodableEntry as error:
            assert error.reason == "seal"
    for group, path in itertools.product(groups, key_dir.rglob("*")):
        key = path.read_bytes()[:32] if path.is_file() else b""
        if len(key) == 32:
            context = b"footfall|%d|%s|%d|%s" % (1, group.pixel_id, group.seq, group.key_name.encode())
            try:
                AESGCM(key).decrypt(group.sealed[:NONCE_BYTES], group.sealed[NONCE_BYTES:], context)
                hits.append(make_raw_hit())
            except InvalidTag:
                pass
    return hits


@pytest.mark.servers
def test_copies_are_unreadable_once_their_hour_is_enriched(own_redis: OwnRedis, tmp_path: Path) -> None:
    asyncio.run(_send(own_redis, tmp_path))
    groups = _groups_of_copies(own_redis, tmp_path)
    assert sum(group.hits for group in groups) == 3
    assert len(_opened(groups, tmp_path / "keys")) == 6, (
        "until then whoever holds both can read them, in both ways"
    )
    last = max(group.key_name for group in groups)
    enricher = make_keys(tmp_path)
    later_s = hour_end_s(last) + SEALING_GRACE_SECONDS + 1
    assert enricher.destroy_ended(later_s, None) == sorted({group.key_name for group in groups})
    assert _opened(groups, tmp_path / "keys") == []
    client = redis.Redis.from_url(own_redis.url)
    assert client.xlen(STREAM) == 0
    assert client.xpending(STREAM, GROUP)["pending"] == 0


def test_a_key_leaves_nothing_of_itself_in_its_folder(tmp_path: Path) -> None:
    keys = make_keys(tmp_path)
    keys.seal("2026112218", b"x", b"")
    [key] = [path.read_bytes() for path in (tmp_path / "keys").glob("*.key")]
    keys.destroy_ended(hour_end_s("2026112218") + 3_600, None)
    rest = b"".join(path.read_bytes() for path in (tmp_path / "keys").rglob("*") if path.is_file())
    assert not any(key[start : start + 4] in rest for start in range(0, 32, 4))


@pytest.mark.parametrize("seed", range(5))
def test_the_turn_of_the_hour_loses_nothing_in_flight(tmp_path: Path, seed: int) -> None:
    """Two pixels and two enrichers share keys. A group reaches the stream up to 2 s after it was sealed."""
    chance = random.Random(seed)
    turn_s = datetime.datetime(2026, 11, 22, 19, tzinfo=datetime.UTC).timestamp()
    pixels, enrichers = ([make_keys(tmp_path), make_keys(tmp_path)] for _ in range(2))
    on_way: list[tuple[float, bytes]] = []
    stream: list[tuple[float, bytes]] = []
    sent = opened = 0
    destroyed: set[str] = set()
    for step in range(1_200):
        now_s = turn_s - 30 + step * 0.25
        if now_s < turn_s + 30:
            sent += 1
            pixel = pixels[step % 2]
            data = encode([make_raw_hit()], pixel, seq=sent, key_name=pixel.usable_name(now_s))
            on_way.append((now_s + chance.uniform(0, 2), data))
        stream += [(now_s, data) for at_s, data in on_way if at_s <= now_s]
        on_way = [(at_s, data) for at_s, data in on_way if at_s > now_s]
        enricher = enrichers[chance.randrange(2)]
        if chance.random() < 0.1:  # an enricher keeps house; it lags by what has gathered
            destroyed.update(enricher.destroy_ended(now_s, stream[0][0] if stream else None))
            for _, data in stream[: chance.randrange(1, 40)]:
                opened += len(open_group(decode_group(data), enricher))
                stream.pop(0)
    assert not on_way
    assert (opened + len(stream), destroyed) == (sent, {hour_name(turn_s - 1)})
