"""Hits are durable before they are answered, together; what Redis does meanwhile changes no count."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from services.hit import MAX_GROUP_HITS, LeftOut, RawHit
from services.hit_stream import STREAM, connect_async
from services.pixel import group_commit, signs
from services.pixel.group_commit import GroupCommit
from services.pixel.redis_link import RETRY_PAUSE_S, SEND_WITHIN_S
from services.pixel.spool import Spool
from services.sealing import KeyHolds
from tests.make import DAY, SITE, Log, make_keys, make_raw_hit
from tests.services.conftest import OwnRedis, groups_in, hits_in

pytestmark = pytest.mark.servers

Make = Callable[..., GroupCommit]
ANSWER_WITHIN_S = 2.0


class Parts:
    """Group commits of a test, each running until the test ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = make_keys(folder)
        self.log = Log()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed: list[Any] = []

    def make(
        self,
        url: str,
        *,
        max_entries: int = 1_000_000,
        run: bool = True,
        spool: str = "",
        spool_bytes: int = 10_000_000,
    ) -> GroupCommit:
        client = connect_async(url, "", timeout_s=SEND_WITHIN_S)
        kept = Spool(self.folder / (spool or f"spool-{len(self._closed)}"), spool_bytes)
        self._closed += [client.aclose, kept.close]
        keys = make_keys(self.folder)
        holds = KeyHolds(self.folder / "keys", kept.holder)
        commit = GroupCommit(client, keys, kept, holds, self.log, max_entries)  # type: ignore[arg-type]
        if run:
            self.run(commit)
        return commit

    def run(self, commit: GroupCommit) -> asyncio.Task[None]:
        running, draining = asyncio.create_task(commit.run()), asyncio.create_task(commit.spooled.drain())
        self._tasks += [running, draining]
        return running

    def held(self) -> list[str]:
        """Keys that wait for the spool."""
        return [path.name for path in (self.folder / "keys").glob("*.held-by-*")]

    def key_files(self) -> list[str]:
        """Keys that were made."""
        return [path.name for path in (self.folder / "keys").glob("*.key")]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for close in self._closed:
            if (waiting := close()) is not None:
                await waiting
        self._tasks, self._closed = [], []


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[Parts]:
    made = Parts(tmp_path)
    yield made
    await made.close()


async def until(done: Callable[[], Any], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.01)


def submit(commit: GroupCommit, number: int = 1, **differing: Any) -> list[asyncio.Future[bool]]:
    """The answers to so many hits."""
    return [submitted(commit, make_raw_hit(**differing)) for _ in range(number)]


def submitted(commit: GroupCommit, hit: RawHit) -> asyncio.Future[bool]:
    """The answer to a hit."""
    told: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    assert commit.submit(hit, told.set_result)
    return told


def is_refused(commit: GroupCommit) -> bool:
    """Whether a hit is refused at once."""
    return not commit.submit(make_raw_hit(), lambda _: None)


def identities(url: str) -> list[tuple[bytes, int]]:
    return [(group.pixel_id, group.seq) for group in groups_in(url)]


async def test_a_hit_is_on_the_stream_before_its_answer(parts: Parts, redis_url: str) -> None:
    commit = parts.make(redis_url)
    hit = make_raw_hit(title="A post")
    answer = submitted(commit, hit)
    assert await answer
    assert hits_in(redis_url, parts.keys) == [hit]
    [group] = groups_in(redis_url)
    assert (group.seq, group.accepted[0].site, group.hits) == (1, SITE, 1)


async def test_an_answered_hit_survives_the_death_of_redis(parts: Parts, own_redis: OwnRedis) -> None:
    commit = parts.make(own_redis.url)
    hits = [make_raw_hit() for _ in range(5)]
    for hit in hits:
        answer = submitted(commit, hit)
        assert await answer
    own_redis.kill()
    own_redis.start()
    assert hits_in(own_redis.url, parts.keys) == hits


async def test_while_one_group_is_on_its_way_the_next_one_grows(parts: Parts, own_redis: OwnRedis) -> None:
    commit = parts.make(own_redis.url)
    assert await submit(commit)[0]
    own_redis.send(signal.SIGSTOP)
    first = submit(commit)
    await asyncio.sleep(0)  # let it leave
    await until(lambda: not commit._queue)
    others = submit(commit, 100)
    await asyncio.sleep(0.1)
    assert len(commit._queue) == 1, "nothing else leaves meanwhile"
    own_redis.send(signal.SIGCONT)
    assert all(await asyncio.gather(*first, *others))
    assert [group.hits for group in groups_in(own_redis.url)] == [1, 1, 100]


async def test_a_quiet_hit_does_not_wait_for_others(parts: Parts, redis_url: str) -> None:
    commit = parts.make(redis_url)
    times = []
    for _ in range(20):
        started = time.monotonic()
        assert await submit(commit)[0]
        times.append(time.monotonic() - started)
    assert sorted(times)[10] < 0.1, "no timer; the median of 20"
    assert [group.seq for group in groups_in(redis_url)] == list(range(1, 21))


async def test_groups_are_cut_at_their_limits(parts: Parts, redis_url: str) -> None:
    commit = parts.make(redis_url, run=False)
    answers = submit(commit, 2 * MAX_GROUP_HITS + 7)
    large = submit(
        commit, 40, url="https://blog.example/" + "x" * 2_000, title="t" * 512, referrer="r" * 2_048
    )
    parts.run(commit)
    assert all(await asyncio.gather(*answers, *large))
    numbers = [group.hits for group in groups_in(redis_url)]
    assert numbers[:2] == [MAX_GROUP_HITS, MAX_GROUP_HITS]
    assert sum(numbers) == 2 * MAX_GROUP_HITS + 47
    client: Any = redis.Redis.from_url(redis_url)
    assert max(len(fields[b"g"]) for _, fields in client.xrange(STREAM)) < 1024 * 1024


async def test_each_run_of_a_pixel_is_another(parts: Parts, redis_url: str) -> None:
    one, other = parts.make(redis_url), parts.make(redis_url)
    assert all(await asyncio.gather(*submit(one), *submit(other)))
    first, second = identities(redis_url)
    assert first[0] != second[0]
    assert first[1] == second[1] == 1


# Redis fails, and there is a spool ----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "is away"])
async def test_while_redis_fails_hits_go_to_the_spool_and_are_sent_on_in_order(
    parts: Parts, own_redis: OwnRedis, number: int
) -> None:
    commit = parts.make(own_redis.url)
    hits = [make_raw_hit() for _ in range(8)]
    for place, hit in enumerate(hits):
        if place == 2:
            own_redis.send(number)
        started = time.monotonic()
        answer = submitted(commit, hit)
        assert await answer
        assert time.monotonic() - started < ANSWER_WITHIN_S
    assert (commit.durable, commit.degraded()) == (True, ["redis", "spool"])
    assert parts.held(), "the enricher may not destroy the key of what waits here"
    if number == signal.SIGKILL:
        own_redis.kill()
        own_redis.start()
    own_redis.send(signal.SIGCONT)
    await until(lambda: not commit.degraded())
    opened = hits_in(own_redis.url, parts.keys)
    assert [hit for place, hit in enumerate(opened) if hit not in opened[:place]] == hits
    numbers = [group.seq for group in groups_in(own_redis.url)]
    assert numbers == sorted(numbers), "a group may come twice, never before an older one"
    assert set(numbers) == set(range(1, 9)), "and none is missing"
    assert all(group.hits_before == group.seq - 1 for group in groups_in(own_redis.url))
    await commit.look()
    assert parts.held(), "nor before what came from here is enriched: it is of an earlier day, perhaps"
    redis.Redis.from_url(own_redis.url).xtrim(STREAM, maxlen=0)
    await commit.look()
    assert parts.held() == []
    assert [a for a in parts.log.actions if a.startswith("redis-") and a != "redis-failed"] == [
        "redis-away",
        "redis-back",
    ]


async def test_what_comes_while_the_spool_drains_goes_behind_it(parts: Parts, own_redis: OwnRedis) -> None:
    commit = parts.make(own_redis.url)
    own_redis.kill()
    assert await submit(commit)[0]
    for _ in range(150):  # more than one round of draining
        assert await submit(commit)[0]
    own_redis.start()
    sent = 151
    deadline = time.monotonic() + 5
    while commit.degraded():
        assert await submit(commit)[0]
        sent += 1
        assert time.monotonic() < deadline, "steady traffic must not keep the spool from being emptied"
    numbers = [group.seq for group in groups_in(own_redis.url)]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, sent + 1))


async def test_a_spool_survives_its_pixel(parts: Parts, own_redis: OwnRedis) -> None:
    commit = parts.make(own_redis.url, spool="same")
    own_redis.kill()
    hits = [make_raw_hit() for _ in range(3)]
    for hit in hits:
        answer = submitted(commit, hit)
        assert await answer
    await parts.close()
    own_redis.start()
    again = parts.make(own_redis.url, spool="same")
    assert await submit(again)[0]
    await until(lambda: not again.degraded())
    assert hits_in(own_redis.url, parts.keys)[:3] == hits
    assert len({pixel_id for pixel_id, _ in identities(own_redis.url)}) == 2


async def test_a_redis_that_refuses_is_a_redis_that_is_away(parts: Parts, own_redis: OwnRedis) -> None:
    commit = parts.make(own_redis.url)
    client = redis.Redis.from_url(own_redis.url)
    client.config_set("maxmemory", "1")
    started = time.monotonic()
    assert await submit(commit)[0]
    assert time.monotonic() - started < ANSWER_WITHIN_S
    client.config_set("maxmemory", "0")
    await until(lambda: not commit.degraded())
    assert [group.hits for group in groups_in(own_redis.url)] == [1]


# Redis fails, and the spool has no room -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL], ids=["hangs", "is away"])
async def test_what_cannot_be_made_durable_is_said_within_2_s(
    parts: Parts, own_redis: OwnRedis, number: int
) -> None:
    commit = parts.make(own_redis.url, spool_bytes=0)
    assert await submit(commit)[0]
    own_redis.send(number)
    started = time.monotonic()
    early = submit(commit)
    await asyncio.sleep(0.4)
    late_started = time.monotonic()
    late = submit(commit, 3)
    assert not await early[0]
    assert time.monotonic() - started < ANSWER_WITHIN_S
    assert not any(await asyncio.gather(*late))
    assert time.monotonic() - late_started < ANSWER_WITHIN_S
    assert (commit.durable, "not-durable" in parts.log.actions) == (False, True)


async def test_a_redis_that_comes_back_in_time_loses_nothing(parts: Parts, own_redis: OwnRedis) -> None:
    commit = parts.make(own_redis.url, spool_bytes=0)
    assert await submit(commit)[0]
    own_redis.kill()
    answers = submit(commit, 3)
    await asyncio.sleep(0.1)
    own_redis.start()
    assert all(await asyncio.gather(*answers))
    assert set(identities(own_redis.url)) == {(commit._pixel_id, 1), (commit._pixel_id, 2)}


class LostAnswers:
    """A wire to Redis that takes every request there and loses the first answers."""

    def __init__(self, port: int, to_lose: int) -> None:
        self._port = port
        self._to_lose = to_lose

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)

        async def forth() -> None:
            while data := await reader.read(65_536):
                server_writer.write(data)
                self.last_request = data

        async def back() -> None:
            while data := await server_reader.read(65_536):
                if self._to_lose and b"XADD" in self.last_request:
                    self._to_lose -= 1
                    break
                writer.write(data)

        tasks = [asyncio.create_task(forth()), asyncio.create_task(back())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        writer.close()
        server_writer.close()

    def stop(self) -> None:
        self._server.close()


async def test_a_lost_answer_is_asked_again_under_the_same_number(
    parts: Parts, redis_url: str, redis_server: Any
) -> None:
    wire = LostAnswers(redis_server.port, to_lose=2)
    commit = parts.make(await wire.start())
    hit = make_raw_hit()
    answer = submitted(commit, hit)
    assert await answer
    assert len(identities(redis_url)) == 3
    assert len(set(identities(redis_url))) == 1, "three copies of one group"
    assert hits_in(redis_url, parts.keys) == [hit] * 3
    wire.stop()


async def test_without_a_key_nothing_is_durable_and_nothing_hangs(parts: Parts, redis_url: str) -> None:
    commit = parts.make(redis_url)
    folder = parts.folder / "keys"
    folder.rmdir()
    started = time.monotonic()
    assert not await submit(commit)[0]
    assert time.monotonic() - started < 1
    assert "no-sealing-key" in parts.log.actions
    folder.mkdir()
    assert await submit(commit)[0]
    assert [group.abandoned for group in groups_in(redis_url)] == [[1]]


# What travels with a group ----------------------------------------------------------------------------------------


async def test_what_was_left_out_travels_within_a_second_or_so(parts: Parts, redis_url: str) -> None:
    commit = parts.make(redis_url)
    for _ in range(3):
        commit.leave_out("", DAY, "refused", "url")
    commit.leave_out(SITE, DAY, "excluded", "prefetch")
    await until(lambda: identities(redis_url), within_s=3)
    [group] = groups_in(redis_url)
    assert sorted(group.left_out, key=lambda part: part.hits) == [
        LeftOut(SITE, DAY, "excluded", "prefetch", 1),
        LeftOut("", DAY, "refused", "url", 3),
    ]
    assert (group.hits, group.sealed) == (0, b"")


async def test_what_was_left_out_travels_once(parts: Parts, redis_url: str) -> None:
    commit = parts.make(redis_url)
    commit.leave_out("", DAY, "refused", "url")
    assert await submit(commit)[0]
    assert await submit(commit)[0]
    left_out = [part for group in groups_in(redis_url) for part in group.left_out]
    assert left_out == [LeftOut("", DAY, "refused", "url", 1)]


async def test_what_was_left_out_waits_for_redis_with_what_was_refused(
    parts: Parts, own_redis: OwnRedis
) -> None:
    commit = parts.make(own_redis.url, spool_bytes=0)
    own_redis.kill()
    commit.leave_out(SITE, DAY, "excluded", "prefetch")
    assert not any(await asyncio.gather(*submit(commit, 2)))
    own_redis.start()
    await commit.look()
    await until(lambda: identities(own_redis.url), within_s=5)
    left_out = {
        (part.outcome, part.reason): part.hits for g in groups_in(own_redis.url) for part in g.left_out
    }
    assert left_out == {("excluded", "prefetch"): 1, ("refused", "not-durable"): 2}


async def test_what_was_left_out_and_waits_for_redis_is_no_late_answer(
    parts: Parts, own_redis: OwnRedis
) -> None:
    commit = parts.make(own_redis.url)
    commit.link.is_away = True
    commit.leave_out("", DAY, "refused", "url")
    await asyncio.sleep(group_commit.LEFT_OUT_EVERY_S + group_commit.ANSWER_WITHIN_S + 0.5)
    assert "answered-late" not in parts.log.actions


async def test_the_numbers_of_abandoned_groups_travel_until_they_arrive(
    parts: Parts, own_redis: OwnRedis
) -> None:
    commit = parts.make(own_redis.url, spool_bytes=0)
    assert await submit(commit)[0]
    own_redis.kill()
    assert not await submit(commit)[0]
    assert not await submit(commit)[0]
    own_redis.start()
    await commit.look()
    assert await submit(commit)[0]
    assert await submit(commit)[0]
    groups = [group for group in groups_in(own_redis.url) if group.hits]
    assert (groups[0].seq, groups[0].abandoned) == (1, [])
    arrived = {number for group in groups_in(own_redis.url) for number in group.abandoned}
    assert arrived == {2, 3}
    assert not arrived & {group.seq for group in groups}, "what arrived was not abandoned"
    assert groups[-1].abandoned == [], "once is enough"
    assert [group.hits_before for group in groups] == [0, 1, 2], "what was refused was not made durable"


async def test_strangers_sites_do_not_fill_the_memory(parts: Parts, redis_url: str) -> None:
    commit = parts.make(redis_url, run=False)
    for number in range(3_000):
        commit.leave_out(f"s{number}.example", DAY, "refused", "rate-limit")
    assert len(commit._left_out) <= 1_002
    assert sum(commit._left_out.values()) == 3_000


# Limits and the end -------------------------------------------------------------------------------------------------


async def test_beyond_what_may_wait_hits_are_refused_at_once(
    parts: Parts, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MAX_WAITING_HITS", 50)
    commit = parts.make(redis_url, run=False)
    answers = submit(commit, 50)
    assert is_refused(commit)
    parts.run(commit)
    assert all(await asyncio.gather(*answers))
    assert await submit(commit)[0], "there is room again"


async def test_while_the_stream_is_full_hits_go_to_the_spool(parts: Parts, redis_url: str) -> None:
    commit = parts.make(redis_url, max_entries=2)
    for _ in range(2):
        assert await submit(commit)[0]
    await commit.look()
    assert commit.degraded() == ["stream is full"]
    assert await submit(commit)[0]
    assert commit.degraded() == ["stream is full", "spool"]
    assert len(identities(redis_url)) == 2
    redis.Redis.from_url(redis_url).xtrim(STREAM, maxlen=1, approximate=False)
    await commit.look()
    await until(lambda: not commit.degraded())
    assert [seq for _, seq in identities(redis_url)] == [2, 3]
    assert [a for a in parts.log.actions if a.startswith("stream")] == ["stream-full", "stream-has-room"]


async def test_near_the_limit_of_redis_memory_hits_go_to_the_spool(parts: Parts, own_redis: OwnRedis) -> None:
    """Before the limit itself: there Redis would refuse the rollup's jobs too."""
    client: Any = redis.Redis.from_url(own_redis.url)
    client.set("ballast", b"x" * 10_000_000)  # a connection more is not a tenth of it
    commit = parts.make(own_redis.url)
    assert await submit(commit)[0]
    client.config_set("maxmemory", int(client.info("memory")["used_memory"] / 0.93))
    await commit.look()
    assert commit.degraded() == ["stream is full"]
    assert all(await asyncio.gather(*submit(commit, 3)))
    assert client.xlen(STREAM) == 1
    assert client.set("a job", "x"), "others may still write"
    client.config_set("maxmemory", client.info("memory")["used_memory"] * 2)
    await commit.look()
    await until(lambda: not commit.degraded())
    assert [group.hits for group in groups_in(own_redis.url)] == [1, 3]


async def test_a_fast_drain_stops_at_the_bound_of_redis_memory(parts: Parts, own_redis: OwnRedis) -> None:
    client: Any = redis.Redis.from_url(own_redis.url)
    client.set("ballast", b"x" * 30_000_000)
    commit = parts.make(own_redis.url, spool_bytes=100_000_000)
    # By the ballast alone: what Redis uses in all still falls for a moment after so large a command.
    client.config_set("maxmemory", int(client.memory_usage("ballast") / 0.92))
    await commit.look()
    for _ in range(40):
        large = submit(commit, 200, url="u" * 2_000, referrer="r" * 1_000)
        assert all(await asyncio.gather(*large))
    assert commit.spooled.waiting_bytes > 24_000_000
    most_bytes = int((client.info("memory")["used_memory"] + 8_000_000) / 0.9)
    client.config_set("maxmemory", most_bytes)
    await commit.look()
    assert not commit.link.is_full
    await until(lambda: commit.link.is_full)
    await asyncio.sleep(0.3)  # nothing more is sent
    assert client.xlen(STREAM)
    assert 0.9 <= client.info("memory")["used_memory"] / most_bytes < 0.96


async def test_looking_tells_whether_redis_is_there(parts: Parts, own_redis: OwnRedis) -> None:
    commit = parts.make(own_redis.url)
    await commit.look()
    assert commit.degraded() == []
    own_redis.send(signal.SIGSTOP)
    started = time.monotonic()
    await commit.look()
    assert time.monotonic() - started < ANSWER_WITHIN_S
    assert commit.degraded() == ["redis"]
    own_redis.send(signal.SIGCONT)
    await commit.look()
    assert commit.degraded() == []


async def test_the_end_waits_for_what_waits(parts: Parts, redis_url: str) -> None:
    commit = parts.make(redis_url, run=False)
    answers = submit(commit, MAX_GROUP_HITS + 3)
    commit.leave_out("", DAY, "refused", "url")
    running = parts.run(commit)
    commit.stop()
    assert is_refused(commit)
    commit.leave_out("", DAY, "refused", "id")
    await asyncio.wait_for(running, 5)
    assert all(answer.result() for answer in answers)
    reasons = {part.reason for group in groups_in(redis_url) for part in group.left_out}
    assert reasons == {"url", "id"}
    assert commit.hits == MAX_GROUP_HITS + 3


async def test_a_hit_that_cannot_be_written_stops_nobody(parts: Parts, redis_url: str) -> None:
    """The collector lets none through; should it, the pixel must not stand still with every request waiting."""
    commit = parts.make(redis_url)
    assert not await submit(commit, title="\ud83d")[0]
    [next_one] = submit(commit)
    assert await asyncio.wait_for(next_one, 3)


def test_no_answer_may_take_2_s() -> None:
    assert 2 * SEND_WITHIN_S + RETRY_PAUSE_S < ANSWER_WITHIN_S, "the group in flight, and one's own"


# Keys of what waited in the spool ---------------------------------------------------------------------------------


async def test_a_pixel_that_follows_another_holds_its_keys_until_what_that_one_sent_is_enriched(
    parts: Parts, own_redis: OwnRedis
) -> None:
    """Else the day of those hits may end meanwhile, its key goes, and they are stored without a session."""
    commit = parts.make(own_redis.url, spool="same")
    own_redis.kill()
    assert await submit(commit)[0]
    own_redis.start()
    await until(lambda: not commit.degraded())
    await parts.close()
    again = parts.make(own_redis.url, spool="same")
    assert await submit(again)[0]
    await again.look()
    assert parts.held()
    redis.Redis.from_url(own_redis.url).xtrim(STREAM, maxlen=0)
    await again.look()
    assert parts.held() == []


async def test_a_key_is_held_while_its_group_is_being_written(
    parts: Parts, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    client: Any = redis.Redis.from_url(own_redis.url)
    commit = parts.make(own_redis.url)
    client.config_set("maxmemory", "1")  # it answers all but what writes
    assert await submit(commit)[0]
    client.config_set("maxmemory", "0")
    await until(lambda: not commit.degraded())
    client.xtrim(STREAM, maxlen=0)
    client.config_set("maxmemory", "1")
    written, sync = threading.Event(), os.fdatasync

    def slow_sync(descriptor: int) -> None:
        written.wait(1.0)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", slow_sync)
    [answer] = submit(commit)
    await until(commit.spooled.disk.locked)
    await commit.look()
    written.set()
    assert await answer
    assert parts.held()


async def test_the_key_of_a_group_that_had_no_room_is_let_go(parts: Parts, own_redis: OwnRedis) -> None:
    commit = parts.make(own_redis.url, spool_bytes=0)
    own_redis.kill()
    assert not await submit(commit)[0]
    own_redis.start()
    await commit.look()
    assert parts.held() == []


async def test_a_redis_that_does_not_tell_its_memory_is_no_redis_that_is_away(
    parts: Parts, own_redis: OwnRedis
) -> None:
    """As managed servers do not."""
    redis.Redis.from_url(own_redis.url).acl_setuser(
        "pixel", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"]
    )
    commit = parts.make(own_redis.url.replace("redis://", "redis://pixel:x@"))
    await commit.look()
    assert commit.degraded() == []
    assert await submit(commit)[0]
    assert len(identities(own_redis.url)) == 1


# Signs of life ------------------------------------------------------------------------------------------------------


async def test_a_pixel_without_hits_says_now_and_then_that_it_runs(
    parts: Parts, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    began_us = int(time.time() * 1_000_000)
    monkeypatch.setattr(signs, "BEAT_EVERY_S", 0.05)
    monkeypatch.setattr(group_commit, "LEFT_OUT_EVERY_S", 0.05)
    monkeypatch.setattr(signs, "SIGN_EVERY_S", 0.05)
    parts.make(redis_url)
    await until(lambda: len(groups_in(redis_url)) >= 2, 10)
    first, second = groups_in(redis_url)[:2]
    assert (first.hits, first.sealed, first.left_out, first.abandoned) == (0, b"", [], [])
    assert first.alive
    assert second.alive
    assert (first.alive.stretch, second.alive.stretch) == (1, 1)
    assert second.alive.since_us == first.alive.since_us
    assert began_us <= first.alive.since_us < first.alive.at_us < second.alive.at_us
    assert parts.key_files() == [], "nothing is sealed: no key is made"


async def test_hits_say_it_too_and_then_no_group_is_written_for_it(
    parts: Parts, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "SIGN_EVERY_S", 0.0)
    commit = parts.make(redis_url)
    for _ in range(3):
        assert await submit(commit)[0]
    assert [(group.hits, group.alive is not None) for group in groups_in(redis_url)] == [(1, True)] * 3


async def test_a_beat_waits_in_the_spool_while_redis_is_away_and_holds_no_key(
    parts: Parts, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "BEAT_EVERY_S", 0.05)
    monkeypatch.setattr(signs, "SIGN_EVERY_S", 0.0)
    monkeypatch.setattr(group_commit, "LEFT_OUT_EVERY_S", 0.05)
    own_redis.kill()
    commit = parts.make(own_redis.url)
    await until(lambda: commit.spooled.waiting_bytes > 200, 20)
    assert parts.held() == []
    monkeypatch.setattr(signs, "BEAT_EVERY_S", 60.0)
    own_redis.start()
    await until(lambda: not commit.degraded(), 20)
    groups = groups_in(own_redis.url)
    assert [group.seq for group in groups] == list(range(1, len(groups) + 1))
    assert all(group.hits == 0 and group.alive for group in groups)


async def test_who_can_make_nothing_durable_gives_no_sign(
    parts: Parts, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "BEAT_EVERY_S", 0.05)
    monkeypatch.setattr(group_commit, "LEFT_OUT_EVERY_S", 0.05)
    monkeypatch.setattr(signs, "SIGN_EVERY_S", 0.0)
    monkeypatch.setattr(signs, "BREAK_S", 0.5)
    own_redis.kill()
    commit = parts.make(own_redis.url, spool_bytes=10)
    began_s = time.time()
    await until(lambda: len(commit._abandoned) >= 2 and time.time() - began_s > 1, 20)
    own_redis.start()
    await commit.look()
    await until(lambda: groups_in(own_redis.url), 20)
    [first, *_] = groups_in(own_redis.url)
    assert first.alive
    assert first.alive.stretch == 2, "of a stretch that begins now"
    assert first.alive.since_us > int((began_s + 1) * 1_000_000)
