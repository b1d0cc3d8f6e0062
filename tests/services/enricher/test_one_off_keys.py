"""Hits of the past have sessions of their own: within one import and one day, and never those of live hits."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.hit import RawHit, UndecodableEntry, decode_group, open_group, reseal_group
from services.sealing import hour_name
from services.session_keys import OneOffKeys, SessionKeys, one_off_key_end
from services.settings import Settings
from tests.conftest import Database
from tests.make import DAY, NOW, encode, make_keys, make_raw_hit
from tests.services.enricher.parts import Bench, rows
from tests.services.enricher.test_session import Enricher, start  # noqa: F401
from tools.servers import poll

Both = tuple[OneOffKeys, SessionKeys]
HOUR = datetime.timedelta(hours=1)
EARLIER = "2026-09-01"
HOUR_AGO_NAME = "2026112217-0123456789abcdef"

# The contract of a group -----------------------------------------------------------------------------------------


def test_the_name_travels_in_clear_and_is_bound_to_the_seal(tmp_path: Path) -> None:
    keys = make_keys(tmp_path)
    hits = [make_raw_hit(day=EARLIER)]
    data = encode(hits, keys, one_off_key=HOUR_AGO_NAME)
    group = decode_group(data)
    assert group.one_off_key == HOUR_AGO_NAME
    assert open_group(group, keys) == hits
    resealed = decode_group(reseal_group(data, hour_name(NOW.timestamp() + 3_600), keys))
    assert (resealed.one_off_key, open_group(resealed, keys)) == (HOUR_AGO_NAME, hits)
    for other in (data.replace(b"0123456789abcdef", b"0123456789abcde0"), encode(hits, keys)):
        assert decode_group(other).one_off_key != HOUR_AGO_NAME
    with pytest.raises(UndecodableEntry, match="seal"):
        open_group(decode_group(data.replace(b"0123456789abcdef", b"0123456789abcde0")), keys)


@pytest.mark.parametrize("name", ["../../../etc/x", "2026-11-22", "", "2026112217-0123456789ABCDEF"])
def test_a_name_that_is_none_is_no_group(tmp_path: Path, name: str) -> None:
    with pytest.raises(UndecodableEntry, match="not-a-group"):
        decode_group(encode([make_raw_hit()], make_keys(tmp_path), one_off_key=name))


# Sessions --------------------------------------------------------------------------------------------------------


def person(number: int, day: str = EARLIER, address: str = "203.0.113.7") -> RawHit:
    """One and the same person, on some page."""
    return make_raw_hit(id=number, url=f"https://blog.example/{number}", day=day, address=address)


def sessions(database: Database) -> dict[str, uuid.UUID | None]:
    """By the page's number."""
    return {path[1:]: session for path, session in rows(database, "select path, session_id from hits")}


@pytest.mark.servers
def test_an_import_links_within_itself_by_day_and_with_nothing_else(
    bench: Bench, database: Database, settings: Settings
) -> None:
    keys = OneOffKeys(settings.key_dir)
    first, second = keys.make(bench.now), keys.make(bench.now)
    bench.put(
        bench.group([person(1), person(2), person(3, address="203.0.113.8")], 1, one_off_key=first),
        bench.group([person(4), person(5, day=DAY)], 2, one_off_key=first),
        bench.group([person(6), person(7, day=DAY)], 3, one_off_key=second),
        bench.group([person(8, day=DAY), person(9)], 4),
    )
    bench.drain(bench.consumer())
    of = sessions(database)
    assert of["1"] == of["2"] == of["4"], "one person on one day of an import, whatever the group"
    assert of["9"] is None, "a live hit of a day that is over"
    others = [of[page] for page in "1356789"]
    assert len(set(others)) == len(others), "no other day, address, import, nor the live day"


@pytest.mark.servers
@pytest.mark.parametrize("absent", [True, False])
def test_without_its_key_an_import_is_stored_without_sessions(
    bench: Bench, database: Database, settings: Settings, absent: bool
) -> None:
    keys = OneOffKeys(settings.key_dir)
    name = HOUR_AGO_NAME if absent else keys.make(bench.now)
    keys.destroy(name)
    bench.put(bench.group([person(1), person(2, day=DAY)], one_off_key=name))
    bench.drain(bench.consumer())
    assert sessions(database) == {"1": None, "2": None}
    assert not keys.is_alive(name), "nobody has made it"


@pytest.mark.servers
def test_hits_of_the_past_are_no_delay(bench: Bench, database: Database) -> None:
    def observed() -> float:
        [metric] = bench.metrics.delay_seconds.collect()
        return next(s.value for s in metric.samples if s.name.endswith("_count"))

    bench.put(bench.group([person(1)], one_off_key=HOUR_AGO_NAME))
    bench.drain(bench.consumer())
    assert observed() == 0
    bench.put(bench.group([person(2)], 2))
    bench.drain(bench.consumer())
    assert observed() == 1
    assert rows(database, "select count(*)::int from hits") == [2]


# The key goes ----------------------------------------------------------------------------------------------------


def test_what_the_maker_destroys_leaves_memory_and_is_nobody_s_key(both: Both) -> None:
    keys, sessions = both
    name = keys.make(NOW)

    def of() -> bytes | None:
        return sessions.session_id(EARLIER, "blog.example", "203.0.113.7", "Firefox", NOW, name)

    assert of() is not None
    assert keys.destroy(name)
    assert not keys.destroy(name)
    sessions.destroy_late(NOW)
    assert of() is None


def test_a_killed_tool_s_key_goes_six_hours_after_its_hour(both: Both) -> None:
    keys, sessions = both
    name = keys.make(NOW)
    end = one_off_key_end(name)
    assert end == NOW.replace(minute=0) + HOUR
    assert sessions.destroy_ended(end + HOUR, None) == [], "an import may run"
    assert sessions.destroy_late(end + 5 * HOUR) == []
    assert keys.is_alive(name)
    assert sessions.destroy_late(end + 6 * HOUR) == [name]
    assert not keys.is_alive(name)


def test_a_key_of_an_hour_that_has_not_come_goes_at_once(both: Both) -> None:
    keys, sessions = both
    name = keys.make(NOW + 24 * HOUR)
    assert sessions.destroy_late(NOW) == [name]


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """The maker's keys, and the enricher's."""
    return OneOffKeys(tmp_path / "keys"), SessionKeys(tmp_path / "keys", ZoneInfo("UTC"))


@pytest.mark.servers
def test_a_real_enricher_destroys_the_key_of_a_killed_tool(
    settings: Settings,
    start: Callable[..., Enricher],  # noqa: F811
) -> None:
    keys = OneOffKeys(settings.key_dir)
    now = datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
    old, young = keys.make(now - 7 * HOUR), keys.make(now)
    start()
    assert poll(lambda: not keys.is_alive(old), 30)
    assert keys.is_alive(young)
