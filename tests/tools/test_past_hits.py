"""Hits of the past go to the stream in groups, wait where it is full, and leave no key behind."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from services.hit import MAX_ENTRY_BYTES, MAX_TITLE, MAX_URL, MAX_USER_AGENT, LeftOut, RawHit
from services.hit_stream import FIELD, STREAM
from services.sealing import SealingKeys
from services.session_keys import OneOffKeys
from tests.make import PIXEL_ID, make_raw_hit
from tests.services.conftest import OwnRedis, groups_in, hits_in, own_redis  # noqa: F401
from tools import past_hits
from tools.past_hits import CannotWrite, PastHits

pytestmark = pytest.mark.servers


def hits(number: int, **differing: str) -> Iterator[RawHit]:
    return (make_raw_hit(day="2026-09-01", **differing) for _ in range(number))


def alive(key_dir: Path) -> list[Path]:
    """The one-off keys that are not destroyed."""
    return [path for path in key_dir.glob("import-*.key") if path.stat().st_size]


@contextlib.contextmanager
def enriched(client: redis.Redis, most_seen: list[int]) -> Iterator[None]:
    """Something takes the entries away, one at a time, as an enricher does."""
    end = threading.Event()

    def take() -> None:
        while not end.wait(0.002):
            with contextlib.suppress(redis.ConnectionError):
                most_seen.append(client.xlen(STREAM))
                for entry_id, _ in client.xrange(STREAM, count=1):
                    client.xdel(STREAM, entry_id)

    thread = threading.Thread(target=take)
    thread.start()
    yield
    end.set()
    thread.join()


def test_hits_come_as_groups_of_one_run_under_one_key(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_hits, "STANDS_STILL_S", 0.2)
    written = list(hits(601))
    with pytest.raises(CannotWrite, match="do Redis, enricher and PostgreSQL run"):  # noqa: SIM117
        with PastHits(redis.Redis.from_url(redis_url), tmp_path) as past:
            past.write(written)
            past.write_left_out([LeftOut("a.example", "2026-09-01", "excluded", "prefetch", 3)], PIXEL_ID)
    *groups, counted = groups_in(redis_url)
    assert [group.seq for group in groups] == [1, 2, 3]
    assert [group.hits_before for group in groups] == [0, 250, 500]
    assert len({(group.pixel_id, group.one_off_key) for group in groups}) == 1
    assert (counted.pixel_id, counted.seq, counted.left_out[0].hits) == (PIXEL_ID, 1, 3)
    assert hits_in(redis_url, SealingKeys(tmp_path)) == written
    assert [path.stem for path in alive(tmp_path)] == [f"import-{groups[0].one_off_key}"], (
        "it waits for the enricher, as its groups do"
    )


def test_the_largest_hits_fit(redis_url: str, tmp_path: Path) -> None:
    client = redis.Redis.from_url(redis_url)
    sizes: list[int] = []
    largest = {"url": "https://x/".ljust(MAX_URL, "𝔞"), "referrer": "𝔟" * MAX_URL, "title": "𝔠" * MAX_TITLE}
    with PastHits(client, tmp_path) as past:
        past.write(hits(120, **largest, user_agent="𝔡" * MAX_USER_AGENT))
        sizes = [len(fields[FIELD]) for _, fields in client.xrange(STREAM)]
        client.delete(STREAM)
    assert len(sizes) > 1
    assert max(sizes) < MAX_ENTRY_BYTES / 4


def test_the_stream_is_never_filled_and_the_key_goes_with_the_last_entry(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_hits, "MOST_ENTRIES", 5)
    monkeypatch.setattr(past_hits, "GROUP_HITS", 2)
    monkeypatch.setattr(past_hits, "PAUSE_S", 0.001)
    client = redis.Redis.from_url(redis_url)
    seen: list[int] = []
    with enriched(client, seen), PastHits(client, tmp_path) as past:
        past.write(hits(100))
        assert alive(tmp_path)
    assert past.hits == 100
    assert 1 < max(seen) <= 5
    assert client.xlen(STREAM) == 0
    assert alive(tmp_path) == []


def test_memory_bounds_it_too(own_redis: OwnRedis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr(past_hits, "STANDS_STILL_S", 0.2)
    client = redis.Redis.from_url(own_redis.url)
    client.config_set("maxmemory", client.info("memory")["used_memory"])
    with pytest.raises(CannotWrite, match="room on the stream"):  # noqa: SIM117
        with PastHits(client, tmp_path) as past:
            past.write(hits(1))
    assert groups_in(own_redis.url) == []
    assert alive(tmp_path) == [], "nothing needs it"


def test_what_fails_in_between_leaves_no_key(redis_url: str, tmp_path: Path) -> None:
    client = redis.Redis.from_url(redis_url)
    with (
        enriched(client, []),
        pytest.raises(KeyboardInterrupt),
        PastHits(client, tmp_path) as past,
    ):
        past.write(hits(10))
        raise KeyboardInterrupt
    assert alive(tmp_path) == []


def test_redis_may_go_away_meanwhile(own_redis: OwnRedis, tmp_path: Path) -> None:  # noqa: F811
    client = redis.Redis.from_url(own_redis.url, socket_timeout=5)
    seen: list[int] = []
    with enriched(client, seen), PastHits(client, tmp_path) as past:
        past.write(hits(1_000))
        own_redis.kill()
        writer = threading.Thread(target=past.write, args=[hits(1_000)])
        writer.start()
        own_redis.start()
        writer.join(60)
    assert past.hits == 2_000
    assert alive(tmp_path) == []


def test_a_run_that_outlives_its_key_says_so(redis_url: str, tmp_path: Path) -> None:
    client = redis.Redis.from_url(redis_url)
    keys = OneOffKeys(tmp_path)
    with pytest.raises(CannotWrite, match="took too long"):  # noqa: SIM117
        with PastHits(client, tmp_path) as past:
            [path] = alive(tmp_path)
            keys.destroy(path.stem.partition("-")[2])
            past.write(hits(1))
    assert groups_in(redis_url) == []
