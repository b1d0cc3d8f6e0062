"""Keys are random, made once, shared by the processes of a machine, and gone for good when destroyed."""

from __future__ import annotations

import datetime
import itertools
import multiprocessing
import os
import stat
import time
import uuid
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sealing import (
    MARKER_SECONDS,
    SEALING_GRACE_SECONDS,
    KeyFiles,
    KeyHolds,
    hour_end_s,
    hour_name,
)
from services.session_keys import SessionKeys
from tests.make import NOW, make_keys

UTC = ZoneInfo("UTC")
HOUR = "2026112218"
HOUR_END_S = datetime.datetime(2026, 11, 22, 19, tzinfo=datetime.UTC).timestamp()
H = datetime.timedelta(hours=1)
MINUTE = datetime.timedelta(minutes=1)


def make_sessions(folder: Path, zone: str = "UTC") -> SessionKeys:
    return SessionKeys(folder / "keys", ZoneInfo(zone))


def session_of(
    keys: SessionKeys,
    day: str = "2026-11-22",
    site: str = "blog.example",
    address: str = "203.0.113.7",
    agent: str = "Firefox",
    now: datetime.datetime = NOW,
) -> uuid.UUID | None:
    found = keys.session_id(day, site, address, agent, now)
    return found and uuid.UUID(bytes=found)


# Files ----------------------------------------------------------------------------------------------------------


def test_keys_are_random_and_named_apart(tmp_path: Path) -> None:
    first, second = KeyFiles(tmp_path / "1", "seal"), KeyFiles(tmp_path / "2", "seal")
    made = [files.get_or_make(name) for files in (first, second) for name in ("2026112218", "2026112219")]
    assert len({key for key in made if key}) == 4
    assert {len(key) for key in made if key} == {32}


def test_a_key_stays_what_it_is(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path, "seal")
    assert files.read(HOUR) is None
    key = files.get_or_make(HOUR)
    assert key == files.get_or_make(HOUR) == files.read(HOUR) == KeyFiles(tmp_path, "seal").read(HOUR)


def test_only_the_owner_may_read_keys(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        files = KeyFiles(tmp_path / "keys", "seal")
        files.get_or_make(HOUR)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()] == [0o600]


def make_many(folder: str, names: list[str], barrier: object) -> list[bytes | None]:
    files = KeyFiles(Path(folder), "seal")
    barrier.wait()  # type: ignore[attr-defined]
    return [files.get_or_make(name) for name in names]


def test_of_several_makers_one_wins(tmp_path: Path) -> None:
    names = [f"20261122{hour:02}" for hour in range(24)]
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(3) as pool:
        barrier = manager.Barrier(3)
        made = pool.starmap(make_many, [(str(tmp_path), names, barrier)] * 3, chunksize=1)
    assert made[0] == made[1] == made[2]
    assert len(set(made[0])) == 24
    assert len(list(tmp_path.iterdir())) == 24, "no scratch files stay"


def test_a_destroyed_key_is_overwritten_and_never_made_anew(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path, "seal")
    files.get_or_make(HOUR)
    same_inode = tmp_path / "hard-link"
    os.link(files.path(HOUR), same_inode)
    assert files.destroy(HOUR)
    assert same_inode.read_bytes() == b"", "the very bytes on disk went, not just the name"
    assert (files.read(HOUR), files.get_or_make(HOUR), files.names()) == (None, None, [])
    assert not files.destroy(HOUR), "it is destroyed once"


def test_what_never_was_is_not_destroyed(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path, "seal")
    assert not files.destroy(HOUR)
    assert files.get_or_make(HOUR)


def test_the_mark_of_a_destroyed_key_goes_after_a_week(tmp_path: Path) -> None:
    files = KeyFiles(tmp_path, "seal")
    for name in ("2026112217", HOUR):
        files.get_or_make(name)
        files.destroy(name)
    long_ago = time.time() - MARKER_SECONDS - 5
    os.utime(files.path("2026112217"), (long_ago, long_ago))
    assert files.names() == []
    assert [path.name for path in tmp_path.iterdir()] == [f"seal-{HOUR}.key"]


def test_kinds_do_not_see_each_other(tmp_path: Path) -> None:
    KeyFiles(tmp_path, "seal").get_or_make(HOUR)
    assert KeyFiles(tmp_path, "session").names() == []
    assert KeyFiles(tmp_path, "session").read(HOUR) is None


# Sealing --------------------------------------------------------------------------------------------------------


def test_one_process_seals_and_another_unseals(tmp_path: Path) -> None:
    sealed = make_keys(tmp_path).seal(HOUR, b"person", b"group 1")
    assert b"person" not in sealed
    assert make_keys(tmp_path).unseal(HOUR, sealed, b"group 1") == b"person"


@given(plain=st.binary(max_size=200), context=st.binary(max_size=40))
def test_what_is_sealed_is_unsealed_under_its_own_context(
    tmp_path: Path, plain: bytes, context: bytes
) -> None:
    keys = make_keys(tmp_path)
    sealed = keys.seal(HOUR, plain, context)
    assert keys.unseal(HOUR, sealed, context) == plain
    assert keys.unseal(HOUR, sealed, context + b"x") is None
    assert keys.unseal(HOUR, sealed[:-1], context) is None
    assert keys.unseal(HOUR, bytes([sealed[0] ^ 1]) + sealed[1:], context) is None


def test_the_same_plain_is_never_sealed_the_same(tmp_path: Path) -> None:
    keys = make_keys(tmp_path)
    assert len({keys.seal(HOUR, b"same", b"") for _ in range(50)}) == 50


@pytest.mark.parametrize("sealed", [b"", b"x" * 11, b"x" * 12, b"x" * 27])
def test_too_short_is_unreadable(tmp_path: Path, sealed: bytes) -> None:
    keys = make_keys(tmp_path)
    keys.seal(HOUR, b"", b"")
    assert keys.unseal(HOUR, sealed, b"") is None


def test_reading_makes_no_key(tmp_path: Path) -> None:
    assert make_keys(tmp_path).unseal(HOUR, bytes(60), b"") is None
    assert not list((tmp_path / "keys").iterdir())


def test_without_a_folder_sealing_says_so_as_an_error_of_the_machine(tmp_path: Path) -> None:
    keys = make_keys(tmp_path)
    (tmp_path / "keys").rmdir()
    with pytest.raises(OSError, match="No such file"):
        keys.seal(HOUR, b"", b"")


@pytest.mark.parametrize(
    ("moment", "name"),
    [
        ("2026-11-22T18:00:00", "2026112218"),
        ("2026-11-22T18:59:59.999", "2026112218"),
        ("2026-11-22T19:00:00", "2026112219"),
        ("2026-12-31T23:59:59", "2026123123"),
        ("2027-01-01T00:00:00", "2027010100"),
    ],
)
def test_a_key_serves_for_one_hour_of_utc(moment: str, name: str) -> None:
    now_s = datetime.datetime.fromisoformat(moment).replace(tzinfo=datetime.UTC).timestamp()
    assert hour_name(now_s) == name
    assert hour_end_s(name) - 3_600 <= now_s < hour_end_s(name)


@pytest.mark.parametrize(
    ("now_s", "oldest_entry_s", "goes"),
    [
        (HOUR_END_S - 1, None, False),  # the hour is not over
        (HOUR_END_S + SEALING_GRACE_SECONDS, None, False),  # a group may still be on its way
        (HOUR_END_S + SEALING_GRACE_SECONDS + 1, None, True),
        (HOUR_END_S + 7_200, HOUR_END_S - 1, False),  # an entry of the hour waits
        (HOUR_END_S + 7_200, HOUR_END_S + 1, False),  # written after the hour, maybe sealed within it
        (HOUR_END_S + 7_200, HOUR_END_S + SEALING_GRACE_SECONDS + 1, True),
        (HOUR_END_S - 1, HOUR_END_S + 7_200, False),  # a server whose clock is ahead proves nothing
    ],
)
def test_a_sealing_key_goes_once_its_hour_is_over_and_enriched(
    tmp_path: Path, now_s: float, oldest_entry_s: float | None, goes: bool
) -> None:
    keys = make_keys(tmp_path)
    sealed = keys.seal(HOUR, b"person", b"")
    assert keys.destroy_ended(now_s, oldest_entry_s) == ([HOUR] if goes else [])
    assert keys.unseal(HOUR, sealed, b"") == (None if goes else b"person")
    assert make_keys(tmp_path).unseal(HOUR, sealed, b"") == (None if goes else b"person")


def test_a_destroyed_key_leaves_the_memory_of_every_process(tmp_path: Path) -> None:
    pixel, enricher, other = make_keys(tmp_path), make_keys(tmp_path), make_keys(tmp_path)
    sealed = pixel.seal(HOUR, b"person", b"")
    assert enricher.unseal(HOUR, sealed, b"") == other.unseal(HOUR, sealed, b"") == b"person"
    later = HOUR_END_S + 3_600
    assert enricher.destroy_ended(later, None) == [HOUR]
    assert other.destroy_ended(later, None) == [], "it is reported once"
    assert other.unseal(HOUR, sealed, b"") is None
    pixel.seal("2026112219", b"", b"")
    with pytest.raises(OSError, match="destroyed already"):
        pixel.seal(HOUR, b"", b"")


def test_keys_of_other_hours_stay(tmp_path: Path) -> None:
    keys = make_keys(tmp_path)
    hours = [f"20261122{hour:02}" for hour in range(10, 19)]
    sealed = {hour: keys.seal(hour, hour.encode(), b"") for hour in hours}
    assert keys.destroy_ended(HOUR_END_S, hour_end_s("2026112213") - 1) == hours[:3]
    assert [keys.unseal(hour, sealed[hour], b"") for hour in hours] == [None] * 3 + [
        h.encode() for h in hours[3:]
    ]


# Sessions -------------------------------------------------------------------------------------------------------


def test_a_session_is_one_site_address_agent_and_day(tmp_path: Path) -> None:
    keys = make_sessions(tmp_path)
    days = ("2026-11-22", "2026-11-23")
    sites = ("blog.example", "shop.example")
    addresses = ("203.0.113.7", "203.0.113.8", "2001:db8::7")
    agents = ("Firefox", "Firefo", "")
    every = list(itertools.product(days, sites, addresses, agents))
    ids = [session_of(keys, *parts) for parts in every]
    assert len(set(ids)) == len(every)
    assert None not in ids
    assert ids == [session_of(keys, *parts) for parts in every]
    assert ids == [session_of(make_sessions(tmp_path), *parts) for parts in every], "another process agrees"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c", "d"), ("a", "bc", "d")),
        (("a", "bc", "d"), ("a", "b", "cd")),
        (("", "ab", ""), ("a", "b", "")),
        (("a", "", "b"), ("a", "b", "")),
        (("1", "2", "3|"), ("1", "2|", "3")),
        (("é", "", ""), ("", "é", "")),
    ],
)
def test_parts_cannot_be_shifted_into_each_other(
    tmp_path: Path, one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    keys = make_sessions(tmp_path)
    assert session_of(keys, "2026-11-22", *one) != session_of(keys, "2026-11-22", *other)


def test_another_installation_makes_other_sessions(tmp_path: Path) -> None:
    assert session_of(make_sessions(tmp_path / "1")) != session_of(make_sessions(tmp_path / "2"))


@given(address=st.text(max_size=45), agent=st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_a_session_id_is_a_uuid_of_version_8(tmp_path: Path, address: str, agent: str) -> None:
    address = address.encode(errors="replace").decode()
    found = session_of(make_sessions(tmp_path), address=address, agent=agent)
    assert found is not None
    assert (found.int >> 76) & 0xF == 8
    assert found.variant == uuid.RFC_4122


def test_after_the_key_there_is_no_session(tmp_path: Path) -> None:
    keys, other = make_sessions(tmp_path), make_sessions(tmp_path)
    assert session_of(keys)
    assert session_of(other)
    later = NOW + 6 * H  # half past midnight, everything of the day enriched
    assert keys.destroy_ended(later, None) == ["2026-11-22"]
    assert session_of(keys, now=later) is None
    assert session_of(make_sessions(tmp_path), now=later) is None
    assert other.destroy_ended(later, None) == []
    assert session_of(other, now=later) is None
    assert session_of(keys, day="2026-11-23", now=later), "the new day has a key of its own"


MIDNIGHT = datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("now", "oldest", "goes"),
    [
        (MIDNIGHT - MINUTE, None, False),
        (MIDNIGHT + MINUTE, None, False),
        (MIDNIGHT + 2 * MINUTE, None, True),
        (MIDNIGHT + 2 * H, MIDNIGHT - MINUTE, False),  # hits of the day wait
        (MIDNIGHT + 2 * H, MIDNIGHT + MINUTE, False),
        (MIDNIGHT + 2 * H, MIDNIGHT + 2 * MINUTE, True),
        (MIDNIGHT + 6 * H - 2 * MINUTE, MIDNIGHT - H, False),
        (MIDNIGHT + 6 * H, MIDNIGHT - H, True),  # at the latest, whatever waits
    ],
)
def test_a_session_key_goes_once_its_day_is_enriched_or_ended_6_hours_ago(
    tmp_path: Path, now: datetime.datetime, oldest: datetime.datetime | None, goes: bool
) -> None:
    keys = make_sessions(tmp_path)
    assert session_of(keys)
    destroyed = keys.destroy_late(now) + keys.destroy_ended(now, oldest.timestamp() if oldest else None)
    assert destroyed == (["2026-11-22"] if goes else [])
    assert (session_of(keys, now=now) is None) == goes


def test_a_day_that_comes_too_late_gets_no_key(tmp_path: Path) -> None:
    keys = make_sessions(tmp_path)
    assert session_of(keys, now=MIDNIGHT + 6 * H) is None
    assert session_of(keys, now=NOW + 400 * 24 * H) is None
    assert not list((tmp_path / "keys").iterdir())
    assert session_of(make_sessions(tmp_path), now=MIDNIGHT + 5 * H), "within the six hours it gets one"


# A day's end in UTC, worked out by hand from the zones' rules.
DAY_ENDS = [
    ("UTC", "2026-11-22", "2026-11-23T00:00Z"),
    ("Pacific/Kiritimati", "2026-11-22", "2026-11-22T10:00Z"),
    ("Pacific/Pago_Pago", "2026-11-22", "2026-11-23T11:00Z"),
    ("Asia/Kathmandu", "2026-11-22", "2026-11-22T18:15Z"),
    # The clocks go back in the night after this day: its end is 22:00, six hours later is 04:00.
    ("Europe/Berlin", "2026-10-24", "2026-10-24T22:00Z"),
    ("Europe/Berlin", "2026-10-25", "2026-10-25T23:00Z"),
    # The clocks go forward in the night after this day.
    ("Europe/Berlin", "2026-03-28", "2026-03-28T23:00Z"),
    ("Europe/Berlin", "2026-03-29", "2026-03-29T22:00Z"),
    ("America/New_York", "2026-10-31", "2026-11-01T04:00Z"),
    ("America/New_York", "2026-11-01", "2026-11-02T05:00Z"),
    ("Australia/Lord_Howe", "2026-04-04", "2026-04-04T13:00Z"),
    # Midnight itself does not exist (Beirut) or comes twice (Havana).
    ("Asia/Beirut", "2026-03-28", "2026-03-28T22:00Z"),
    ("America/Havana", "2026-10-31", "2026-11-01T04:00Z"),
    ("Pacific/Apia", "2011-12-29", "2011-12-30T10:00Z"),  # the 30th was skipped
]


@pytest.mark.parametrize(("zone", "day", "end"), DAY_ENDS)
def test_no_session_key_lives_6_hours_after_its_day_in_any_zone(
    tmp_path: Path, zone: str, day: str, end: str
) -> None:
    ended_at = datetime.datetime.fromisoformat(end)
    keys = make_sessions(tmp_path, zone)
    assert session_of(keys, day=day, now=ended_at - MINUTE)
    waiting_s = (ended_at - H).timestamp()
    nearly, at_last = ended_at + 6 * H - 2 * MINUTE, ended_at + 6 * H
    assert keys.destroy_late(nearly) + keys.destroy_ended(nearly, waiting_s) == []
    assert keys.destroy_late(at_last) == [day]


@pytest.mark.parametrize(("zone", "day", "end"), DAY_ENDS)
def test_no_session_key_goes_before_its_day_is_over_in_any_zone(
    tmp_path: Path, zone: str, day: str, end: str
) -> None:
    ended_at = datetime.datetime.fromisoformat(end)
    keys = make_sessions(tmp_path, zone)
    assert session_of(keys, day=day, now=ended_at - MINUTE)
    assert keys.destroy_ended(ended_at + MINUTE, None) == []
    assert keys.destroy_ended(ended_at + 2 * MINUTE, None) == [day]


@pytest.mark.parametrize(("zone", "day", "end"), DAY_ENDS)
def test_no_session_key_is_made_6_hours_after_its_day_in_any_zone(
    tmp_path: Path, zone: str, day: str, end: str
) -> None:
    ended_at = datetime.datetime.fromisoformat(end)
    assert session_of(make_sessions(tmp_path / "1", zone), day=day, now=ended_at + 6 * H) is None
    assert session_of(make_sessions(tmp_path / "2", zone), day=day, now=ended_at + 6 * H - 2 * MINUTE)


def test_keys_that_a_spool_needs_are_held_until_they_are_let_go(tmp_path: Path) -> None:
    keys, sessions = make_keys(tmp_path), make_sessions(tmp_path)
    keys.seal(HOUR, b"x", b"")
    assert session_of(sessions)
    holds = KeyHolds(tmp_path / "keys", "pixel-1")
    holds.hold({HOUR}, {"2026-11-22"})
    KeyHolds(tmp_path / "keys", "pixel-2").release()  # another's holds are not one's own
    later = datetime.datetime(2026, 11, 23, 1, tzinfo=datetime.UTC)
    assert keys.destroy_ended(later.timestamp(), None) == []
    assert sessions.destroy_ended(later, None) == []
    KeyHolds(tmp_path / "keys", "pixel-1").release()  # after a restart, too
    assert keys.destroy_ended(later.timestamp(), None) == [HOUR]
    assert sessions.destroy_ended(later, None) == ["2026-11-22"]


def test_nobody_holds_a_days_key_longer_than_6_hours(tmp_path: Path) -> None:
    sessions = make_sessions(tmp_path)
    assert session_of(sessions)
    KeyHolds(tmp_path / "keys", "pixel-1").hold((), {"2026-11-22"})
    assert sessions.destroy_late(datetime.datetime(2026, 11, 23, 6, tzinfo=datetime.UTC)) == ["2026-11-22"]


def test_a_destroyed_key_seals_nothing_more_though_it_was_in_memory(tmp_path: Path) -> None:
    pixel, enricher = make_keys(tmp_path), make_keys(tmp_path)
    pixel.seal(HOUR, b"x", b"")
    # The enricher's clock runs two hours ahead for a moment.
    assert enricher.destroy_ended(HOUR_END_S + 7_200, None) == [HOUR]
    with pytest.raises(OSError, match="destroyed"):
        pixel.seal(HOUR, b"x", b"")
    later_hour = pixel.usable_name(HOUR_END_S - 60)
    assert later_hour == hour_name(HOUR_END_S + 60)
    sealed = pixel.seal(later_hour, b"x", b"")
    assert enricher.unseal(later_hour, sealed, b"") == b"x"
