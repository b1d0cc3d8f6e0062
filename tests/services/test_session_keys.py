"""One person is one session: across processes, kills, days of any length, spellings of an address. Then nobody's."""

from __future__ import annotations

import contextlib
import datetime
import gc
import hashlib
import ipaddress
import itertools
import os
import random
import signal
import uuid
import zoneinfo
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import sealing as module
from services.hit import decode_group, open_group
from services.pixel.client_address import ClientAddress
from services.pixel.clock import DayClock, HitIds
from services.pixel.collect import Accepted, Collector, Headers
from services.sealing import KEY_BYTES, KeyFiles
from services.session_keys import OneOffKeys, SessionKeys
from tests.make import DAY, NOW, NOW_US, encode, make_keys, make_settings
from tests.strategies import examples, texts

SECOND = datetime.timedelta(seconds=1)
MINUTE = 60 * SECOND
H = 60 * MINUTE


def make_sessions(folder: Path, zone: str = "UTC") -> SessionKeys:
    return SessionKeys(folder / "keys", ZoneInfo(zone))


def session_of(keys: SessionKeys, day: str = DAY, now: datetime.datetime = NOW) -> uuid.UUID | None:
    found = keys.session_id(day, "blog.example", "203.0.113.7", "Firefox", now)
    return found and uuid.UUID(bytes=found)


# The key is drawn once ------------------------------------------------------------------------------------------


class Child:
    """A process of its own that derives the session of one person on some days, and reports each when it has it."""

    def __init__(self, folder: Path, days: list[str], prepare: Callable[[], object] = bool) -> None:
        self._answers, report = os.pipe()
        self._said = b""
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                prepare()
                keys = make_sessions(folder)
                for day in days:
                    os.write(report, f"{day} {session_of(keys, day)}\n".encode())
            os._exit(0)
        os.close(report)

    def kill_after(self, days: int) -> None:
        """Once it has reported so many days: it works on the next one then."""
        while self._said.count(b"\n") < days and (some := os.read(self._answers, 65_536)):
            self._said += some
        os.kill(self.pid, signal.SIGKILL)

    def end(self) -> tuple[dict[str, str], int]:
        """What it reported, and the signal that ended it."""
        with os.fdopen(self._answers, "rb") as answers:
            lines = (self._said + answers.read()).decode().splitlines()
        _, status = os.waitpid(self.pid, 0)
        return dict(line.split() for line in lines), os.WTERMSIG(status)


def kill_before_step(step: int) -> None:
    """Let this process be killed before so many calls that touch the disk."""
    steps = itertools.count(1)

    def dying(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return wrapped

    for name in ("open", "fchmod", "write", "fsync", "close", "link", "unlink", "ftruncate"):
        setattr(os, name, dying(getattr(os, name)))


@pytest.mark.parametrize("company", [0, 2])
def test_a_kill_at_any_step_of_drawing_a_key_never_gives_two_sessions(tmp_path: Path, company: int) -> None:
    for step in itertools.count(1):
        folder = tmp_path / str(step)
        (folder / "keys").mkdir(parents=True)
        beside = [Child(folder, [DAY]) for _ in range(company)]
        reported, ended_by = Child(folder, [DAY], lambda step=step: kill_before_step(step)).end()  # type: ignore[misc]
        others = [child.end()[0] for child in [*beside, Child(folder, [DAY])]]
        found = {answers[DAY] for answers in [*others, reported] if answers}
        assert found == {str(session_of(make_sessions(folder)))}
        assert all(others)
        if ended_by != signal.SIGKILL:
            assert reported
            break
    assert step > 12 or company, "it was killed at each of them"


def test_many_kills_of_several_processes_never_give_two_sessions(tmp_path: Path) -> None:
    chance = random.Random()
    (tmp_path / "keys").mkdir()
    start = datetime.date(2027, 1, 1)
    found: dict[str, set[str]] = defaultdict(set)
    kills = 0
    for number in range(examples(80)):
        days = [str(start + datetime.timedelta(days=60 * number + n)) for n in range(60)]
        running = [Child(tmp_path, days) for _ in range(3)]
        for child in running[:2]:
            child.kill_after(chance.randrange(8))
        running.append(Child(tmp_path, days))  # restarted
        for child in running:
            reported, ended_by = child.end()
            kills += ended_by == signal.SIGKILL
            for day, session in reported.items():
                found[day].add(session)
    assert kills > examples(20), "kills came while they worked"
    assert {len(sessions) for sessions in found.values()} == {1}
    assert len({min(sessions) for sessions in found.values()}) == len(found), "no two days share a key"


def test_a_key_that_another_process_linked_is_on_disk_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that made it may have been killed before it came so far; then the power goes."""
    assert session_of(make_sessions(tmp_path))
    synced: list[Path] = []
    monkeypatch.setattr(module, "sync_directory", synced.append)
    assert session_of(make_sessions(tmp_path))
    assert synced == [tmp_path / "keys"]


def test_a_full_disk_leaves_no_pieces_of_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    keys = make_sessions(tmp_path)
    monkeypatch.setattr(os, "write", full)
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            session_of(keys)
    monkeypatch.undo()
    assert list((tmp_path / "keys").iterdir()) == []
    assert session_of(keys)


# The key goes ---------------------------------------------------------------------------------------------------

LATE = datetime.datetime(2026, 11, 23, 6, tzinfo=datetime.UTC)


def test_nobody_takes_a_key_that_is_being_destroyed_for_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A known key would let anybody compute the sessions that were derived under it."""
    owner, files = make_sessions(tmp_path), KeyFiles(tmp_path / "keys", "session")
    assert session_of(owner)
    seen: list[bytes | None] = []

    def looking(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any) -> Any:
            answer = call(*arguments)
            seen.append(files.read(DAY))
            return answer

        return wrapped

    with monkeypatch.context() as patch:
        for name in ("ftruncate", "write", "fsync"):
            patch.setattr(os, name, looking(getattr(os, name)))
        assert owner.destroy_late(LATE) == [DAY]
    assert len(seen) > 3
    assert set(seen) == {None}


def test_zeros_are_no_key(tmp_path: Path) -> None:
    keys = make_sessions(tmp_path)
    path = KeyFiles(tmp_path / "keys", "session").path(DAY)
    path.write_bytes(bytes(KEY_BYTES))
    assert session_of(keys) is None


def test_a_kill_at_any_step_of_destroying_a_key_leaves_it_to_the_next(tmp_path: Path) -> None:
    for step in itertools.count(1):
        folder = tmp_path / str(step)
        before = session_of(make_sessions(folder))

        def destroy(folder: Path = folder, step: int = step) -> None:
            keys = make_sessions(folder)
            kill_before_step(step)
            keys.destroy_late(LATE)

        _, number = Child(folder, [], destroy).end()
        assert session_of(make_sessions(folder)) in (before, None)
        [path] = (folder / "keys").iterdir()
        if number != signal.SIGKILL:
            assert path.read_bytes() == b""
            break
        assert make_sessions(folder).destroy_late(LATE) in ([DAY], [])
        assert path.read_bytes() == b""
        assert session_of(make_sessions(folder)) is None
    assert step > 5, "it was killed at each of them"


def is_in_memory(digest: bytes) -> bool:
    """Whether any object of this process holds, as a value of its own, bytes with this SHA-256."""
    gc.collect()
    looked_at: list[Any] = gc.get_objects()
    while looked_at:
        inner = gc.get_referents(*looked_at)
        keys = (thing for thing in inner if type(thing) is bytes and len(thing) == KEY_BYTES)
        if any(hashlib.sha256(key).digest() == digest for key in keys):
            return True
        # The collector does not list a dictionary or tuple of plain values.
        inside = {id(thing): thing for thing in inner if type(thing) in (dict, tuple)}
        looked_at = [thing for thing in inside.values() if not gc.is_tracked(thing)]
    return False


@pytest.mark.parametrize("who", ["itself", "another process"])
def test_no_object_holds_a_key_that_is_destroyed(tmp_path: Path, who: str) -> None:
    keys = make_sessions(tmp_path)
    assert session_of(keys)
    digest = hashlib.sha256(KeyFiles(tmp_path / "keys", "session").path(DAY).read_bytes()).digest()
    assert is_in_memory(digest)
    if who == "another process":
        Child(tmp_path, [], lambda: bool(make_sessions(tmp_path).destroy_late(LATE))).end()
    keys.destroy_late(LATE)
    assert not is_in_memory(digest)
    assert session_of(keys) is None


def test_a_clock_that_ran_ahead_for_a_moment_leaves_no_day_without_sessions(tmp_path: Path) -> None:
    keys, other = make_sessions(tmp_path), make_sessions(tmp_path)
    assert session_of(keys, now=NOW + 24 * H) is None  # it is too late for a key, by this clock
    keys.destroy_late(NOW)  # the next look, by the right clock
    assert session_of(keys) == session_of(other) is not None


def test_a_clock_that_was_set_back_brings_no_destroyed_key_back(tmp_path: Path) -> None:
    keys = make_sessions(tmp_path)
    assert session_of(keys)
    assert keys.destroy_ended(NOW + 6 * H, None) == [DAY]
    for now in (NOW + 5 * H, NOW, NOW - 24 * H):
        assert keys.destroy_late(now) == []
        assert session_of(keys, now=now) is session_of(make_sessions(tmp_path), now=now) is None


def test_a_key_stays_for_an_enricher_that_lags(tmp_path: Path) -> None:
    """The stream's oldest entry is of whoever lags most: one that is read stays there until it is stored."""
    ahead, lagging = make_sessions(tmp_path), make_sessions(tmp_path)
    assert session_of(ahead, "2026-11-23", now=NOW + 10 * H)
    waiting_s = NOW.timestamp()
    assert ahead.destroy_ended(NOW + 10 * H, waiting_s) == []
    late = session_of(lagging, now=NOW + 10 * H)
    assert late == session_of(ahead, now=NOW + 10 * H) is not None
    assert ahead.destroy_late(NOW + 12 * H) == [DAY], "at 6 h nobody is waited for"


# Days -----------------------------------------------------------------------------------------------------------

# A day's begin in UTC and its hours, worked out by hand from the zones' rules.
DAYS = [
    ("UTC", "2026-11-22", "2026-11-22T00:00Z", 24),
    ("Pacific/Kiritimati", "2026-11-22", "2026-11-21T10:00Z", 24),
    ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00Z", 23),
    ("Europe/Berlin", "2026-10-25", "2026-10-24T22:00Z", 25),
    ("America/New_York", "2026-03-08", "2026-03-08T05:00Z", 23),
    ("America/New_York", "2026-11-01", "2026-11-01T04:00Z", 25),
    ("Australia/Lord_Howe", "2026-04-05", "2026-04-04T13:00Z", 24.5),
    ("Australia/Lord_Howe", "2026-10-04", "2026-10-03T13:30Z", 23.5),
    ("Antarctica/Troll", "2026-03-29", "2026-03-29T00:00Z", 22),
    ("Antarctica/Troll", "2026-10-25", "2026-10-24T22:00Z", 26),
    # No midnight at its begin; an hour twice at its end.
    ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00Z", 23),
    ("America/Sao_Paulo", "2018-02-17", "2018-02-17T02:00Z", 25),
    ("Asia/Beirut", "2022-03-27", "2022-03-26T22:00Z", 23),
    ("Asia/Beirut", "2022-10-29", "2022-10-28T21:00Z", 25),
    ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00Z", 23),
    ("Africa/Cairo", "2026-10-29", "2026-10-28T21:00Z", 25),
    ("America/Havana", "2026-11-01", "2026-11-01T04:00Z", 25),  # midnight comes twice
    ("Asia/Pyongyang", "2018-05-04", "2018-05-03T15:30Z", 23.5),
    ("Pacific/Apia", "2011-12-29", "2011-12-29T10:00Z", 24),
    ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00Z", 24),  # there was no 30th
]


@pytest.mark.parametrize(("zone", "day", "begin", "hours"), DAYS)
def test_a_session_spans_the_whole_day_of_the_zone_and_nothing_else(
    tmp_path: Path, zone: str, day: str, begin: str, hours: float
) -> None:
    began_at = datetime.datetime.fromisoformat(begin)
    ended_at = began_at + hours * H
    keys, clock = make_sessions(tmp_path, zone), DayClock(ZoneInfo(zone))

    def hit_at(moment: datetime.datetime) -> tuple[str, uuid.UUID | None]:
        on = clock.day_of(int(moment.timestamp()) * 1_000_000)
        return on, session_of(keys, on, moment)

    (before, first), (same, session) = hit_at(began_at - SECOND), hit_at(began_at)
    assert (before < day, same) == (True, day)
    moment = began_at
    while moment < ended_at:
        assert hit_at(moment) == (day, session)
        assert day not in keys.destroy_late(moment) + keys.destroy_ended(moment, None)
        moment += 15 * MINUTE
        if moment.minute == 0:
            keys = make_sessions(tmp_path, zone)  # restarted
    assert hit_at(ended_at - SECOND) == (day, session)
    after, last = hit_at(ended_at)
    assert after > day
    assert len({first, session, last, None}) == 4
    assert keys.destroy_ended(ended_at + 2 * MINUTE, None) == [day]


ZONES = sorted(zoneinfo.available_timezones() - {"Factory", "localtime"})
half = datetime.timedelta(milliseconds=500)  # a day never ends at one


@given(
    zone=st.sampled_from(ZONES),
    made_at=st.datetimes(
        datetime.datetime(2012, 1, 1), datetime.datetime(2037, 12, 1), timezones=st.just(datetime.UTC)
    ).map(lambda moment: moment.replace(microsecond=0)),
    later_s=st.integers(0, 34 * 3_600),
)
def test_in_any_zone_a_key_goes_by_the_date_there(
    tmp_path_factory: pytest.TempPathFactory, zone: str, made_at: datetime.datetime, later_s: int
) -> None:
    """By definition: the day is over when the date is a later one, and late when it was so 6 h ago."""

    def date_at(moment: datetime.datetime) -> str:
        return str(moment.astimezone(ZoneInfo(zone)).date())

    folder = tmp_path_factory.mktemp("zone")
    day = DayClock(ZoneInfo(zone)).day_of(int(made_at.timestamp()) * 1_000_000)
    assert day == date_at(made_at)
    keys = make_sessions(folder, zone)
    session = session_of(keys, day, made_at)
    assert session
    now = made_at + later_s * SECOND + half
    if date_at(now) == day:
        assert session_of(keys, day, now) == session
    late = date_at(now - 6 * H + MINUTE) > day
    assert keys.destroy_late(now) == ([day] if late else [])
    ended = date_at(now - MINUTE) > day and not late
    assert keys.destroy_ended(now, None) == ([day] if ended else [])
    fresh = session_of(make_sessions(folder / "fresh", zone), day, now)
    assert (fresh is None) == (date_at(now - 6 * H) > day)


# Whose session it is --------------------------------------------------------------------------------------------

SPELLINGS = {
    "203.0.113.7": ["203.0.113.7", "::ffff:203.0.113.7", "::FFFF:CB00:7107", "0:0:0:0:0:ffff:cb00:7107"],
    "2001:db8::a7": ["2001:db8::a7", "2001:DB8::A7", "2001:0db8:0000:0000:0000:0000:0000:00a7",
                     "2001:db8:0:0::a7", "2001:db8::0.0.0.167", "2001:db8::a7%eth0"],
    "fe80::1": ["fe80::1", "FE80:0::1", "fe80::1%2", "fe80::1%eth0"],
}  # fmt: skip
IN_HEADERS = {
    "203.0.113.7": ["203.0.113.7:52113", '"203.0.113.7"', "[::ffff:203.0.113.7]:80", " 203.0.113.7 "],
    "2001:db8::a7": ["[2001:db8::a7]", '"[2001:DB8::A7]:443"', "[2001:db8::a7%25eth0]:1"],
    "fe80::1": ["[fe80::1%25eth0]"],
}


def person_of(address: str, user_agent: str, keys: SessionKeys, folder: Path) -> bytes | None:
    """The session of a request: what the pixel makes of it, over the stream's codec."""
    settings = make_settings(SITES="blog.example")
    collector = Collector(settings, DayClock(ZoneInfo("UTC")).day_of, HitIds().make)
    outcome = collector.collect(
        {"url": "https://blog.example/"}, Headers(user_agent=user_agent), address, NOW_US
    )
    assert isinstance(outcome, Accepted)
    sealer = make_keys(folder)
    [raw] = open_group(decode_group(encode([outcome.hit], sealer)), sealer)
    return keys.session_id(raw.day, raw.site, raw.address, raw.user_agent, NOW)


@pytest.mark.parametrize("address", SPELLINGS)
def test_an_address_is_one_person_however_it_is_written(tmp_path: Path, address: str) -> None:
    settings = make_settings(TRUSTED_PROXIES="10.0.0.1")
    client = ClientAddress(settings.trusted_proxies, settings.client_address_header)
    keys = make_sessions(tmp_path)
    addresses = [client.of(peer, []) for peer in SPELLINGS[address]]
    addresses += [client.of("10.0.0.1", [text]) for text in SPELLINGS[address] + IN_HEADERS[address]]
    assert len({person_of(written, "Firefox", keys, tmp_path) for written in addresses}) == 1


@given(address=st.ip_addresses())
def test_any_address_is_one_person_however_it_is_written(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if isinstance(address, ipaddress.IPv4Address):
        number = f"{int(address):08X}"
        written = [str(address), f"::ffff:{address}", f"::FFFF:{number[:4]}:{number[4:]}"]
    else:
        written = [str(address), str(address).upper(), address.exploded, f"{address}%eth0"]
    client = ClientAddress((), "X-Forwarded-For")
    found = {client.of(text, []) for text in written}
    assert len(found) == 1
    neighbour = type(address)(int(address) ^ 1)
    assert client.of(str(neighbour), []) not in found


@given(user_agent=st.text(max_size=80) | st.sampled_from(["\ud800", "\0", "a\0b", "\udce9", "𐏿" * 2_000]))
def test_any_user_agent_has_a_session(tmp_path: Path, user_agent: str) -> None:
    keys = make_sessions(tmp_path)
    found = person_of("203.0.113.7", user_agent, keys, tmp_path)
    assert found == person_of("203.0.113.7", user_agent, make_sessions(tmp_path), tmp_path) is not None


parts = st.tuples(texts, texts, texts)


@given(one=parts, cuts=st.tuples(st.integers(0, 120), st.integers(0, 120)))
def test_the_same_text_cut_elsewhere_is_another_person(
    tmp_path: Path, one: tuple[str, str, str], cuts: tuple[int, int]
) -> None:
    keys = make_sessions(tmp_path)
    text = "".join(one)
    first, second = sorted(cuts)
    other = (text[:first], text[first:second], text[second:])
    same = keys.session_id(DAY, *one, NOW) == keys.session_id(DAY, *other, NOW)
    assert same == (one == other)


def test_a_stray_file_among_the_keys_is_passed_over(tmp_path: Path) -> None:
    keys = make_sessions(tmp_path)
    assert session_of(keys)
    for name in ("session-2026-01-01 copy.key", "session-x.key", "session-.key"):
        (tmp_path / "keys" / name).write_bytes(b"k" * 32)
    assert keys.destroy_late(NOW + datetime.timedelta(days=2)) == [DAY]
    assert keys.destroy_ended(NOW + datetime.timedelta(days=2), None) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone makes files for others")
def test_a_key_that_root_makes_belongs_to_whom_the_folder_belongs_to(tmp_path: Path) -> None:
    os.chown(tmp_path, 10001, 10002)
    name = OneOffKeys(tmp_path).make(datetime.datetime.now(datetime.UTC))
    made = (tmp_path / f"import-{name}.key").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (10001, 10002, 0o600)
