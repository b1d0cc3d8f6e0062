"""What `make import` reads of files: formats, lines, ids, reasons; nothing is written here."""

from __future__ import annotations

import datetime
import gzip
import io
import os
import sqlite3
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.hit import Given, RawHit
from tests.make import make_settings
from tools.access_log import parse_combined, parse_common, parse_line, time_us
from tools.arguments import BadRequest
from tools.importer.caddy_log import parse_caddy
from tools.importer.events import EventHits
from tools.importer.formats import format_of
from tools.importer.hits import IN_THE_FUTURE, OTHER_HOST, Maker, Record
from tools.importer.logs import NO_TIME, UNFINISHED, UNREADABLE, LogHits
from tools.importer.reading import MAX_LINE, BadInput, Log
from tools.importer.request import request_of

SAMPLES = Path(__file__).with_name("import_samples")
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0"


def line(
    path: str = "/a", second: int = 0, *, address: str = "203.0.113.9", status: int = 200, referrer: str = "-"
) -> bytes:
    """Of a combined log, on 17 May 2026."""
    return (
        f'{address} - - [17/May/2026:10:05:{second:02} +0000] "GET {path} HTTP/1.1" {status} 512'
        f' "{referrer}" "{AGENT}"\n'
    ).encode()


def records(path: Path, site: str = "blog.example", format_name: str = "", **settings: str) -> list[Record]:
    """All of a log."""
    source = LogHits(Log(str(path)), site, format_name, Maker(make_settings(**settings), site))
    found = list(source.records())
    source.close()
    return found


def hits(found: list[Record]) -> list[RawHit]:
    return [record.hit for record in found if record.hit]


def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


# Formats -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "format_name", "views", "unreadable"),
    [
        ("nginx-combined.log", "combined", 6, 1),
        ("nginx-common.log", "common", 6, 1),
        ("caddy.json", "caddy", 6, 0),
    ],
)
def test_samples_of_real_servers_are_recognised_and_read(
    name: str, format_name: str, views: int, unreadable: int
) -> None:
    """Each server was asked the same: pages, a picture, a missing page, a POST; nginx also for no HTTP at all."""
    data = (SAMPLES / name).read_bytes()
    assert format_of(data.splitlines()) == format_name
    found = records(SAMPLES / name)
    why_not = Counter(record.why_not for record in found)
    assert (why_not[""], why_not[UNREADABLE]) == (views, unreadable)
    assert why_not["no page view: a file, script or feed"] == 1
    assert why_not["no page view: not GET"] == 1
    by_path = {hit.url.removeprefix("https://blog.example"): hit for hit in hits(found)}
    assert set(by_path) == {"/", "/caf%C3%A9/", "/gone", "/post?utm_source=letter&x=1", "/quoted"}
    assert by_path["/gone"].status == 404
    people = {(hit.address, hit.user_agent) for hit in hits(found)}
    assert len(people) == (1 if format_name == "common" else 2)
    if format_name != "common":
        assert by_path["/quoted"].user_agent == 'Mozilla/5.0 ("odd" \\ agent)'
        assert by_path["/post?utm_source=letter&x=1"].referrer == "https://news.example/naïve?q=1"
    if format_name == "caddy":
        assert by_path["/"].language == "de-CH"


def test_where_the_log_has_no_agents_nobody_is_a_bot_for_lack_of_one(tmp_path: Path) -> None:
    common = b'203.0.113.9 - - [17/May/2026:10:05:00 +0000] "GET / HTTP/1.1" 200 5\n'
    [hit] = hits(records(written(tmp_path / "log", common)))
    assert (hit.user_agent, hit.given) == ("", Given(is_bot=False))
    [hit] = hits(records(written(tmp_path / "log", line())))
    assert hit.given is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"http://a/\xd0\xb9", "http://a/й"),
        (r"\xe4\xe5 x", "\ufffd\ufffd x"),
        (r"say \"a\" and \x22b\x22", 'say "a" and "b"'),
        (r"back\\x41slash", r"back\x41slash"),
        (r"tab\there", "tab\there"),
    ],
)
def test_what_servers_escape_is_decoded(text: str, expected: str) -> None:
    data = f'1.2.3.4 - - [17/May/2026:10:05:00 +0000] "GET / HTTP/1.1" 200 5 "{text}" "x"'
    found = parse_line(data)
    assert found
    assert found.referrer == expected


def test_a_combined_line_that_was_cut_off_is_no_common_one() -> None:
    whole = line().decode()
    assert parse_combined(whole)
    for end in range(whole.index(' "-"') + 2, whole.index('"Mozilla')):
        assert parse_line(whole[:end]) is None, whole[:end]
    within = parse_line(whole[: whole.index("Firefox")])
    assert within
    assert within.user_agent == "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 "
    assert parse_common(whole[: whole.index(' "-"')])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("17/May/2026:10:05:03 +0200", "2026-05-17T08:05:03+00:00"),
        ("17/May/2026:10:05:03 -0330", "2026-05-17T13:35:03+00:00"),
        ("2026-05-17T10:05:03+02:00", "2026-05-17T08:05:03+00:00"),
        ("2026-05-17T10:05:03", None),
        ("17/Mai/2026:10:05:03 +0200", None),
        ("31/Apr/2026:10:05:03 +0200", None),
        ("17/May/1926:10:05:03 +0200", None),
        ("x", None),
    ],
)
def test_times_have_their_offset(text: str, expected: str | None) -> None:
    moment = expected and datetime.datetime.fromisoformat(expected)
    assert time_us(text) == (moment and int(moment.timestamp() * 1e6))


@pytest.mark.parametrize(
    "at",
    ["1779012303.5", "1779012303500", "1779012303500000", "1779012303500000000", '"2026-05-17T10:05:03.5Z"'],
)
def test_caddys_times_are_read_in_each_unit(at: str) -> None:
    text = f'{{"ts":{at},"request":{{"method":"GET","uri":"/","remote_ip":"::1"}},"status":200}}'
    found = parse_caddy(text)
    assert found
    assert found.at_us == pytest.approx(1_779_012_303_500_000, abs=200)


@pytest.mark.parametrize(
    "text", ["", "{", "{}", "[]", '{"ts":true,"status":200,"request":{}}', line().decode()]
)
def test_what_is_none_of_caddys_is_none(text: str) -> None:
    assert parse_caddy(text) is None


# Lines -------------------------------------------------------------------------------------------------------------


def test_each_line_is_a_hit_or_has_its_reason(tmp_path: Path) -> None:
    path = written(
        tmp_path / "log",
        line("/a"),
        b"nonsense\n",
        line("/a.png"),
        line("/a", status=500),
        line("/b").replace(b"17/May", b"17/Mai"),
        line("/b").replace(b"2026", b"2999"),
        b"x" * (MAX_LINE + 10) + b"\n",
        line("http://other.example/c"),
        line("/d")[:-30],
    )
    found = records(path)
    assert [record.place for record in found] == list(range(1, 10))
    assert [record.why_not for record in found] == [
        "", UNREADABLE, "no page view: a file, script or feed", "no page view: neither 2xx nor 404", NO_TIME,
        IN_THE_FUTURE, UNREADABLE, OTHER_HOST, UNFINISHED,
    ]  # fmt: skip


def test_the_settings_hold_as_for_live_hits(tmp_path: Path) -> None:
    path = written(tmp_path / "log", line("/a"), line("http://draft--preview.blog.example/"))
    found = records(
        path,
        SITES="blog.example=my.blog",
        EXCLUDED_HOSTS="*--preview.*",
        REPORT_TIMEZONE="Pacific/Kiritimati",
    )
    assert [(hit.site, hit.day) for hit in hits(found)] == [("my.blog", "2026-05-18")]
    assert found[1].why_not == "excluded: excluded-host"
    with pytest.raises(BadInput, match=r"pages of blog\.example are left out \(unknown-site\): see SITES"):
        records(path, SITES="other.example")


def test_a_site_that_nothing_tells_is_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "log", line("/a"))
    with pytest.raises(BadInput, match=r"say SITE=blog\.example"):
        records(path, site="")
    told = written(tmp_path / "log", line("/a"), line("/b", referrer="https://blog.example/a"))
    assert [hit.site for hit in hits(records(told, site=""))] == ["blog.example"] * 2


def test_the_same_line_is_the_same_hit_when_the_log_has_grown_or_was_packed(tmp_path: Path) -> None:
    lines = [line("/a"), line("/a"), b"nonsense\n", line("/b", 3)]
    part = hits(records(written(tmp_path / "log", *lines[:3])))
    whole = hits(records(written(tmp_path / "log", *lines)))
    assert len({hit.hit_id for hit in whole}) == 3, "two lines that say the same are two hits"
    assert whole[:2] == part
    (tmp_path / "log.gz").write_bytes(gzip.compress(b"".join(lines)))
    assert hits(records(tmp_path / "log.gz")) == whole
    other = hits(records(written(tmp_path / "log", line("/0"), *lines)))
    assert not {hit.hit_id for hit in other} & {hit.hit_id for hit in whole}


def test_ids_tell_nothing_of_the_person(tmp_path: Path) -> None:
    one = hits(records(written(tmp_path / "log", line(address="203.0.113.9"))))
    other = hits(
        records(written(tmp_path / "log", line(address="203.0.113.8").replace(b"Firefox", b"Chrome")))
    )
    assert [hit.hit_id for hit in one] == [hit.hit_id for hit in other]


def test_a_file_that_is_no_log_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "picture.png", bytes(range(256)) * 600)
    with pytest.raises(BadInput, match=r"picture\.png: no line of its first \d+ is one of an access log"):
        records(path)
    with pytest.raises(BadInput, match="in the caddy format"):
        records(written(tmp_path / "log", line()), format_name="caddy")
    with pytest.raises(BadInput, match="No such file"):
        records(tmp_path / "missing")
    assert records(written(tmp_path / "empty", b"")) == [], "a log that was just rotated"


def test_a_gzip_file_that_was_cut_off_is_known_before_anything_is_read(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(line(f"/{number}") for number in range(3_000)))
    path = written(tmp_path / "log.gz", packed[:-200])
    with pytest.raises(BadInput, match=r"log\.gz: the gzip file is cut off"):
        Log(str(path))
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 255
    with pytest.raises(BadInput, match="damaged"):
        Log(str(written(tmp_path / "log.gz", bytes(damaged))))


def test_standard_input_may_be_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    for data in (line(), gzip.compress(line())):
        stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(data)))  # type: ignore[type-var]
        monkeypatch.setattr(sys, "stdin", stdin)
        assert len(hits(records(Path("-")))) == 1


def test_a_log_that_is_followed_is_read_across_its_rotation(tmp_path: Path) -> None:
    path = written(tmp_path / "log", line("/1"), line("/2")[:40])
    source = LogHits(Log(str(path), is_followed=True), "blog.example", "", Maker(make_settings(), ""))
    following = source.follow()
    seen: list[str] = []

    def read() -> list[str]:
        for record in iter(lambda: next(following), None):
            assert record.hit, record.why_not
            seen.append(record.hit.url.rpartition("/")[2])
        return seen

    assert read() == ["1"], "the second line is not whole"
    with path.open("ab") as log:
        log.write(line("/2")[40:] + line("/3"))
        log.flush()
        assert read() == ["1", "2", "3"]
        path.rename(tmp_path / "log.1")
        assert read() == ["1", "2", "3"], "there is no new one yet"
        log.write(line("/4"))
    written(path, line("/5"))
    assert read() == ["1", "2", "3", "4", "5"]
    os.truncate(path, 0)  # as logrotate's copytruncate does
    assert read()[-1] == "5"
    with path.open("ab") as log:
        log.write(line("/6"))
    assert read()[-2:] == ["5", "6"]
    source.close()
    again = hits(records(tmp_path / "log.1"))
    assert [hit.url[-1] for hit in again] == ["1", "2", "3", "4"]


# Databases ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Iterator[str]:
    """The sample, as a file of SQLite's."""
    path = tmp_path / "hits.db"
    with sqlite3.connect(path) as connection:
        connection.executescript((SAMPLES / "events.sql").read_text())
    connection.close()
    yield str(path)


COUNTRIES = {"es": "ES", "germany": "DE", "fra": "FR", "us": "US"}


def events(path: str, **settings: str) -> list[Record]:
    source = EventHits(path, ZoneInfo("Europe/Madrid"), "", COUNTRIES, Maker(make_settings(**settings), ""))
    found = list(source.records())
    source.close()
    return found


def test_rows_are_hits_with_what_was_known_of_them(database: str) -> None:
    found = events(database)
    assert Counter(record.why_not for record in found) == {"": 6, NO_TIME: 1, "excluded: local-host": 1}
    by_time = hits(found)
    assert [hit.day for hit in by_time] == ["2026-01-31", "2026-01-31"] + ["2026-02-01"] * 4, "days of UTC"
    assert datetime.datetime.fromtimestamp(by_time[0].received_at_us / 1e6, datetime.UTC).hour == 22
    assert by_time[2].url == "https://blog.example/about"
    assert by_time[2].title == "About"
    assert [hit.given for hit in by_time] == [
        Given(False, "ES"),
        Given(False, "ES"),
        Given(False, "DE"),
        Given(True, "US"),
        Given(False),
        Given(False, "FR"),
    ]
    assert [hit.is_me for hit in by_time] == [False, False, False, False, True, False]
    assert [hit.anonymous for hit in by_time] == [False] * 5 + [True]
    assert len({hit.hit_id for hit in by_time}) == 6
    assert by_time[0].address == by_time[1].address != by_time[2].address
    assert "aa11" not in by_time[0].address
    assert events(database)[0] == found[0]


def test_the_day_is_that_of_the_reporting_zone(database: str) -> None:
    found = hits(events(database, REPORT_TIMEZONE="Europe/Madrid"))
    assert [hit.day for hit in found[:2]] == ["2026-01-31", "2026-02-01"]


def test_what_is_no_such_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no such file"):
        events(str(tmp_path / "missing.db"))
    with pytest.raises(BadInput, match="no SQLite database"):
        events(str(written(tmp_path / "log.db", line() * 100)))
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("create table events (id, date, url)")
    connection.close()
    with pytest.raises(BadInput, match="no table `events` with the columns title, session_id, country"):
        events(str(tmp_path / "other.db"))


# What is asked for -------------------------------------------------------------------------------------------------


def test_what_is_asked_for_is_understood(tmp_path: Path) -> None:
    for name in ("a b.log", "c.log.1", "c.log.2"):
        (tmp_path / name).touch()
    request = request_of(
        {"LOG": f"'{tmp_path}/a b.log' {tmp_path}/c.log.* -", "SITE": "https://Blog.Example/"}
    )
    assert [Path(name).name for name in request.files] == ["a b.log", "c.log.1", "c.log.2", "-"]
    assert (request.site, request.is_database, request.follows) == ("blog.example", False, False)
    request = request_of({"DB": "a b.db", "TIMEZONE": "Europe/Madrid", "LOG": ""})
    assert (request.files, request.timezone) == (("a b.db",), ZoneInfo("Europe/Madrid"))


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "make import LOG="),
        ({"LOG": "a", "DB": "b"}, "make import LOG="),
        ({"DB": "a"}, "TIMEZONE: say in which zone"),
        ({"DB": "a", "TIMEZONE": "Madrid"}, "TIMEZONE: Madrid is no name"),
        ({"DB": "a", "TIMEZONE": "UTC", "FOLLOW": "1"}, "are for logs"),
        ({"LOG": "a", "TIMEZONE": "UTC"}, "TIMEZONE is for DB"),
        ({"LOG": "a", "FORMAT": "iis"}, "FORMAT: one of combined, common, caddy"),
        ({"LOG": "a", "SITE": "a b"}, "SITE: a b is no host"),
        ({"LOG": "'a"}, "LOG: No closing quotation"),
        ({"LOG": "a b.gz", "FOLLOW": "1"}, "FOLLOW: the last file"),
    ],
)
def test_what_cannot_be_is_said(environ: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest) as raised:
        request_of(environ)
    assert said in str(raised.value)


def test_ids_are_uuids(tmp_path: Path) -> None:
    [hit] = hits(records(written(tmp_path / "log", line())))
    assert uuid.UUID(bytes=hit.hit_id).version == 5
