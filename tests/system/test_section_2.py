"""Every status and header of section 2 of the contract, against running stacks; the requests stand in section_2.py.

All requests of the table are sent once, in its order, each on a connection of its own; then come the tests that
need several requests or break something.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import re
import signal
import socket
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from tests.system.section_2 import (
    COUNTRIES,
    ID,
    OPEN,
    PAGE,
    PROXIED,
    SETTINGS,
    STRICT,
    Case,
    Section,
    all_cases,
)
from tests.system.stack import BROWSER, Stack, wait_until

pytestmark = pytest.mark.system

CANARY = "canary"  # stands in whatever is sent that an answer must not quote
ANSWER_WITHIN_S = 2.0
GIF = re.compile(rb"GIF8[79]a\x01\x00\x01\x00.{33}", re.DOTALL)
ERROR_LINE = re.compile(r"[A-Z][^\n]{10,120}\.\n")
CORS_HEADERS = (
    "Allow-Origin",
    "Allow-Credentials",
    "Allow-Methods",
    "Allow-Headers",
    "Expose-Headers",
    "Max-Age",
)
STORED = (
    "hit_id::text, site, host, path, query, title, event, props, status, referrer, source, channel, utm_source,"
    " utm_medium, utm_campaign, utm_term, utm_content, country, session_id::text, is_bot, bot_name, is_me, browser,"
    " os, device, language, screen"
)
COLUMNS = [column.strip().partition("::")[0] for column in STORED.split(",")]
LAST = "/the-last-one"


class Answer(NamedTuple):
    """What came back on the wire."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    after: bytes  # what came after the body
    seconds: float

    @property
    def footfall(self) -> str | None:
        """X-Footfall; the names of what was dropped in alphabetical order."""
        value: str | None = self.headers["X-Footfall"]
        return in_order(value)


def in_order(footfall: str | None) -> str | None:
    if not footfall or "dropped=" not in footfall:
        return footfall
    start, mark, names = footfall.partition("dropped=")
    return start + mark + ",".join(sorted(names.split(",")))


def exchange(stack: Stack, data: bytes, method: str = "GET") -> Answer:
    """Send bytes, read one answer and what follows it."""
    port = int(stack.pixel_url.rpartition(":")[2])
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as wire:
        with contextlib.suppress(ConnectionError):  # a body that is too long is not read to its end
            wire.sendall(data)
        answer = http.client.HTTPResponse(wire, method=method)
        answer.begin()
        body = answer.read()
        seconds = time.monotonic() - began
        after = b""
        if not answer.will_close:
            wire.shutdown(socket.SHUT_WR)
            after = wire.recv(1_000)
        return Answer(answer.status, answer.headers, body, after, seconds)


def bytes_of(stack: str, case: Case) -> bytes:
    """The request."""
    if case.raw is not None:
        return case.raw
    hit_id = id_of(stack, case)
    target = case.path
    if case.is_hit and isinstance(case.query, str):
        target += "?" + case.query.replace(ID, hit_id) if case.query else ""
    elif case.is_hit:
        parameters = {"url": PAGE[stack], "id": hit_id, **case.query}
        target += "?" + urlencode({name: value for name, value in parameters.items() if value is not None})
    body = case.body.replace(ID, hit_id).encode() if isinstance(case.body, str) else case.body
    names = {line.partition(":")[0].lower() for line in case.headers}
    own = [("Host", "p.example"), ("User-Agent", BROWSER)]
    if body is not None and "transfer-encoding" not in names:
        own.append(("Content-Length", str(len(body))))
    lines = [f"{name}: {value}" for name, value in own if name.lower() not in names]
    head = "\r\n".join((f"{case.method} {target} HTTP/{case.version}", *lines, *case.headers, "", ""))
    return head.encode() + (body or b"")


def id_of(stack: str, case: Case) -> str:
    """The id that a case's hit is found by."""
    return case.hit_id or str(uuid.uuid5(uuid.NAMESPACE_URL, f"{stack} {case!r}"))


TABLE = list(all_cases())
IDS = [f"{section.words[:60]} - {case.name[:60]}" for section, case in TABLE]


def test_every_case_is_another() -> None:
    own = [id_of(section.stack, case) for section, case in TABLE if not case.hit_id]
    assert len(set(own)) == len(own)
    assert len({(section.words, case.name) for section, case in TABLE}) == len(TABLE)


# What came of the table ---------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What came of the table on one stack."""

    stack: Stack
    answers: dict[int, Answer | OSError] = field(default_factory=dict)  # by place in the table
    rows: list[dict[str, Any]] = field(default_factory=list)

    def read_rows(self) -> None:
        """All hits, once the last has come through: the stream keeps their order."""
        wait_until(lambda: self.stack.query("select 1 from hits where path = %s", LAST))
        found = self.stack.query(f"select {STORED} from hits where path <> %s", LAST)
        self.rows = [dict(zip(COLUMNS, row, strict=True)) for row in found]

    def rows_of(self, name: str, case: Case) -> list[dict[str, Any]]:
        """Rows of a case's hit; of an id that two sites have, those of the case's site."""
        if case.by_host:
            return [row for row in self.rows if row["host"] == case.row["host"]]
        rows = [row for row in self.rows if row["hit_id"] == id_of(name, case)]
        return [row for row in rows if not case.hit_id or row["site"] == case.row.get("site", row["site"])]


def noon_zone() -> str:
    """A time zone in which it is about noon: no day ends while the tests run."""
    ahead = 12 - datetime.datetime.now(datetime.UTC).hour
    return f"Etc/GMT{-ahead:+d}" if ahead else "UTC"


@pytest.fixture(scope="module")
def seen(make_stack: Callable[..., Stack]) -> Iterator[dict[str, Seen]]:
    """The stacks, after the table."""
    zone = noon_zone()
    stacks = {name: Seen(make_stack(REPORT_TIMEZONE=zone, **settings)) for name, settings in SETTINGS.items()}
    for place, (section, case) in enumerate(TABLE):
        known = stacks[section.stack]
        try:
            known.answers[place] = exchange(known.stack, bytes_of(section.stack, case), case.method)
        except OSError as error:
            known.answers[place] = error
    for name, known in stacks.items():
        page = PAGE[name].rpartition("/")[0] + LAST
        assert hit(known.stack, page, f"X-Forwarded-For: {LAST_CLIENT}", f"Forwarded: for={LAST_CLIENT}")
    for known in stacks.values():
        known.read_rows()
    yield stacks
    for known in stacks.values():
        known.stack.stop()
        known.stack.process = None


LAST_CLIENT = "198.51.100.250"


def hit(stack: Stack, page: str, *headers: str, path: str = "/a", **parameters: str) -> Answer:
    """A hit that must be accepted."""
    case = Case(name="", path=path, query={"url": page, "id": None, **parameters}, headers=headers)
    answer = exchange(stack, bytes_of(OPEN, case))
    assert answer.footfall == "accepted"
    return answer


@pytest.mark.parametrize("place", range(len(TABLE)), ids=IDS)
def test_the_answer(seen: dict[str, Seen], place: int) -> None:
    section, case = TABLE[place]
    answer = seen[section.stack].answers[place]
    assert isinstance(answer, Answer), answer
    assert answer.status in case.statuses, (answer.status, answer.body)
    assert answer.seconds < ANSWER_WITHIN_S
    assert answer.after == b""
    if case.footfall is not None:
        assert answer.footfall == in_order(case.footfall)
    for name, wanted in case.has.items():
        value = answer.headers[name] or ""
        assert re.fullmatch(wanted, value) if isinstance(wanted, re.Pattern) else value == wanted, (
            name,
            value,
        )
    for name in case.lacks:
        assert name not in answer.headers
    assert case.says.encode() in answer.body
    check_cors(case, answer)
    check_body(case, answer)
    if case.path not in ("/a.js", "/x.js"):
        assert answer.headers.get_all("Cache-Control") == ["no-store"]
    # No answer can become a 304, gives a cookie unasked, or says what was sent.
    for name in ("ETag", "Last-Modified", "Expires", "Content-Range", "Accept-Ranges"):
        assert name not in answer.headers
    assert "Set-Cookie" not in answer.headers or "Set-Cookie" in case.has
    assert CANARY.encode() not in (str(answer.headers).encode() + answer.body).lower()


def check_cors(case: Case, answer: Answer) -> None:
    """The Origin and credentials, or no CORS header."""
    if not case.cors:
        assert [name for name in answer.headers if name.lower().startswith("access-control")] == []
        return
    assert answer.headers.get_all("Access-Control-Allow-Origin") == [case.cors]
    assert answer.headers.get_all("Access-Control-Allow-Credentials") == ["true"]
    assert "Origin" in (answer.headers["Vary"] or "")


def check_body(case: Case, answer: Answer) -> None:
    """A GIF, nothing, or for an error one line of plain text."""
    kind = answer.headers["Content-Type"]
    if answer.status in (204, 303) or case.method == "HEAD":
        assert answer.body == b""
    if answer.status == 204:
        assert (kind, answer.headers["Content-Length"]) == (None, None)
    elif answer.status >= 400:
        assert kind == "text/plain; charset=utf-8"
        assert ERROR_LINE.fullmatch(answer.body.decode())
    elif case.path.endswith(".gif"):
        assert (kind, answer.headers["Content-Length"]) == ("image/gif", "43")
        assert case.method == "HEAD" or GIF.fullmatch(answer.body)
    elif case.method != "HEAD":
        assert answer.headers["Content-Length"] == str(len(answer.body))


@pytest.mark.parametrize("place", range(len(TABLE)), ids=IDS)
def test_the_row(seen: dict[str, Seen], place: int) -> None:
    section, case = TABLE[place]
    rows = seen[section.stack].rows_of(section.stack, case)
    if not case.is_counted:
        assert rows == []
        return
    assert len(rows) == 1
    for column, wanted in case.row.items():
        value = rows[0][column]
        if isinstance(wanted, re.Pattern):
            assert value is not None, column
            assert wanted.fullmatch(str(value)), (column, value)
        else:
            assert value == wanted, column


CLIENTS = [place for place, (_, case) in enumerate(TABLE) if case.client]


def session_of(seen: dict[str, Seen], place: int) -> str | None:
    section, case = TABLE[place]
    [row] = seen[section.stack].rows_of(section.stack, case)
    return None if row["session_id"] is None else str(row["session_id"])


def first_of(section: Section, client: str) -> int:
    """The plainest case of a client on a stack."""
    return next(
        place
        for place in CLIENTS
        if TABLE[place][0].stack == section.stack and TABLE[place][1].client == client
    )


@pytest.mark.parametrize("place", CLIENTS, ids=[IDS[place] for place in CLIENTS])
def test_one_client_is_one_session(seen: dict[str, Seen], place: int) -> None:
    section, case = TABLE[place]
    assert session_of(seen, place) == session_of(seen, first_of(section, case.client)) is not None


@pytest.mark.parametrize("name", SETTINGS)
def test_two_clients_are_two_sessions(seen: dict[str, Seen], name: str) -> None:
    clients = {TABLE[place][1].client: place for place in reversed(CLIENTS) if TABLE[place][0].stack == name}
    sessions = {session_of(seen, place) for place in clients.values()}
    assert len(sessions) == len(clients)


def test_a_client_has_its_country(seen: dict[str, Seen]) -> None:
    """Where the country database could be got."""
    if not (seen[PROXIED].stack.data_dir / "country.mmdb").exists():
        pytest.skip("no country database")
    for place in CLIENTS:
        section, case = TABLE[place]
        if section.stack == PROXIED:
            [row] = seen[PROXIED].rows_of(PROXIED, case)
            assert row["country"] == COUNTRIES.get(case.client), case.name


@pytest.mark.parametrize("name", SETTINGS)
def test_nothing_else_became_a_row(seen: dict[str, Seen], name: str) -> None:
    cases = [case for section, case in TABLE if section.stack == name and case.is_counted]
    expected = {(row["site"], row["hit_id"]) for case in cases for row in seen[name].rows_of(name, case)}
    assert [row for row in seen[name].rows if (row["site"], row["hit_id"]) not in expected] == []
    assert len(seen[name].rows) == len(expected)


def test_an_error_is_always_the_same_line(seen: dict[str, Seen]) -> None:
    lines: dict[tuple[int, str | None], set[bytes]] = {}
    for known in seen.values():
        for place, answer in known.answers.items():
            if isinstance(answer, Answer) and answer.status >= 400 and TABLE[place][1].method != "HEAD":
                key = (answer.status, answer.footfall if TABLE[place][1].is_hit else TABLE[place][1].path)
                lines.setdefault(key, set()).add(answer.body)
    assert {key: found for key, found in lines.items() if len(found) > 1} == {}


def test_the_owners_hits_are_in_no_default_figure(seen: dict[str, Seen]) -> None:
    rows = [row for row in seen[OPEN].rows if row["host"] == "owner.example"]
    others = sum(not row["is_me"] for row in rows)
    assert len(rows) - others == 2
    figure = "select sum(pageviews)::int from daily_pages where host = 'owner.example'"
    wait_until(lambda: seen[OPEN].stack.query(figure) == [(others,)])


def test_a_signal_leaves_no_session_and_yet_a_pageview(seen: dict[str, Seen]) -> None:
    figure = "select sum(anonymous_pageviews)::int from daily_traffic where site = 'blog.example'"
    anonymous = [
        row for row in seen[OPEN].rows
        if row["site"] == "blog.example" and row["session_id"] is None and not row["is_me"]
    ]  # fmt: skip
    assert len(anonymous) == 4
    wait_until(lambda: seen[OPEN].stack.query(figure) == [(4,)])


def test_the_script_names_the_endpoint(seen: dict[str, Seen]) -> None:
    def script(name: str, path: str) -> bytes:
        return seen[name].stack.get(path)[2]

    named = re.compile(rb"""["'`]count["'`]""")
    assert script(STRICT, "/x.js") == script(STRICT, "/a.js")
    assert named.search(script(STRICT, "/x.js"))
    assert not named.search(script(OPEN, "/a.js"))


def test_metrics_answer_on_their_own_port(seen: dict[str, Seen]) -> None:
    with urllib.request.urlopen(seen[OPEN].stack.urls["PIXEL_METRICS_URL"], timeout=5) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert b"\n# TYPE " in answer.read()


def test_no_log_names_anybody_or_quotes(seen: dict[str, Seen]) -> None:
    for known in seen.values():
        logs = [known.stack.log, *(known.stack.data_dir / "log").glob("*")]
        text = b"".join(path.read_bytes() for path in logs)
        assert b'"started"' in text
        for secret in (CANARY, "Mozilla", *COUNTRIES, LAST_CLIENT):
            assert secret.encode() not in text, secret


# Several requests ---------------------------------------------------------------------------------------------


def test_429_when_a_client_sends_too_many_and_not_for_another(seen: dict[str, Seen]) -> None:
    stack, limit = seen[STRICT].stack, int(SETTINGS[STRICT]["RATE_LIMIT"])
    origin = "https://example.com"

    def send(client: str, **others: Any) -> Answer:
        headers = (f"Forwarded: for={client}", f"Origin: {origin}")
        query = {"url": "https://example.com/many", "id": None}
        case = Case(name="", headers=headers, **{"query": query, **others})
        return exchange(stack, bytes_of(STRICT, case), case.method)

    # The minute may end once under way.
    statuses = [204]
    while statuses[-1] == 204 and len(statuses) <= 2 * limit:
        statuses.append(send("203.0.113.77").status)
    assert set(statuses[:-1]) == {204}
    assert len(statuses) > limit
    answer = send("203.0.113.77")
    assert (answer.status, answer.footfall) == (429, "refused; reason=rate-limit")
    assert re.fullmatch(r"[1-9]|[1-5][0-9]|6[01]", answer.headers["Retry-After"])
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    check_body(Case(name=""), answer)
    assert send("203.0.113.77", path="/a.gif").status == 429
    assert send("203.0.113.77", method="POST", body="{}").status == 429
    assert send("203.0.113.77", query={"url": "http://localhost/"}).status == 204, "it counts no hit"
    assert send("203.0.113.78").status == 204, "another client"
    wait_until(lambda: (counted(stack, "/many"),) == (len(statuses) - 1,))


def test_none_is_429_without_a_limit(seen: dict[str, Seen]) -> None:
    """600 a minute is the default, not the setting of this stack."""
    stack = seen[PROXIED].stack
    port = int(stack.pixel_url.rpartition(":")[2])
    case = Case(name="", query={"url": "https://blog.example/none", "id": None})
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(bytes_of(PROXIED, case) * 700)
        answers = b""
        while answers.count(b"\r\n\r\n") < 700:
            part = wire.recv(65_536)
            assert part
            answers += part
    assert answers.count(b"HTTP/1.1 204 ") == answers.count(b"X-Footfall: accepted\r\n") == 700


def counted(stack: Stack, path: str) -> int:
    return int(stack.query("select count(*) from hits where path = %s", path)[0][0])


@pytest.mark.parametrize(
    "data",
    [
        b"POST /a?url=https://blog.example/slow HTTP/1.1\r\nHost: p\r\nContent-Length: 100\r\n\r\n{",
        b"POST /a HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nurl=",
    ],
)
def test_a_body_that_does_not_come_is_answered_within_2_s(seen: dict[str, Seen], data: bytes) -> None:
    answer = exchange(seen[OPEN].stack, data, "POST")
    assert answer.seconds < ANSWER_WITHIN_S
    assert answer.status == 408
    assert answer.footfall == "refused; reason=body"
    check_body(Case(name=""), answer)


# Redis hangs: the last tests, as they break what the others stand on ------------------------------------------


def test_no_answer_takes_longer_than_2_s_while_redis_hangs(seen: dict[str, Seen]) -> None:
    stack = seen[OPEN].stack
    page = "https://blog.example/hangs"
    requests = [
        (Case(name="GET", query={"url": page}), "accepted"),
        (Case(name="GIF", path="/a.gif", query={"url": page}), "accepted"),
        (Case(name="POST", method="POST", query="", body=json.dumps({"url": page, "id": ID})), "accepted"),
        (Case(name="HTTP/1.0", version="1.0", query={"url": page}), "accepted"),
        (Case(name="CORS", query={"url": page}, headers=("Origin: https://blog.example",)), "accepted"),
        (Case(name="excluded", query={"url": "http://localhost/"}), "excluded; reason=local-host"),
        (Case(name="refused", query=""), "refused; reason=url"),
        (Case(name="HEAD", method="HEAD"), "excluded; reason=head"),
        *(
            (Case(name=path, path=path), None)
            for path in ("/", "/privacy/", "/me", "/a.js", "/livez", "/readyz")
        ),
    ]
    pid = stack.kill("redis", signal.SIGSTOP)
    try:
        answers = [
            (case, exchange(stack, bytes_of(OPEN, case), case.method), word) for case, word in requests
        ]
        ready = stack.get("/readyz")
    finally:
        os.kill(pid, signal.SIGCONT)
    for case, answer, word in answers:
        assert answer.seconds < ANSWER_WITHIN_S, case.name
        assert answer.footfall == word, case.name
    assert (ready[0], ready[2].startswith(b"ready; degraded: redis")) == (200, True)
    wait_until(lambda: counted(stack, "/hangs") == 5)


def test_503_when_a_hit_cannot_be_made_durable(seen: dict[str, Seen]) -> None:
    """Redis hangs and the spool, of 1 MB, is full."""
    stack = seen[PROXIED].stack
    props = {f"{number:02}" + "x" * 60: "v" * 300 for number in range(30)}
    large = {"url": "https://blog.example/full", "referrer": "r" * 2_048, "title": "t" * 512, "props": props}
    case = Case(name="", method="POST", query="", body=json.dumps(large))
    origin = "https://blog.example"
    allowed = Case(name="", method="POST", query="", body=json.dumps(large), headers=(f"Origin: {origin}",))
    accepted = 0
    pid = stack.kill("redis", signal.SIGSTOP)
    try:
        while (answer := exchange(stack, bytes_of(PROXIED, case), "POST")).status == 204:
            assert answer.seconds < ANSWER_WITHIN_S
            accepted += 1
            assert accepted < 1_000
        refused = [answer, exchange(stack, bytes_of(PROXIED, allowed), "POST")]
        ready, alive = stack.get("/readyz"), stack.get("/livez")
    finally:
        os.kill(pid, signal.SIGCONT)
    for answer in refused:
        assert answer.seconds < ANSWER_WITHIN_S
        assert (answer.status, answer.footfall) == (503, "refused; reason=not-durable")
        assert re.fullmatch(r"[1-9][0-9]?", answer.headers["Retry-After"])
        check_body(case, answer)
    assert refused[1].headers["Access-Control-Allow-Origin"] == origin
    assert ready[0] == 503
    assert ready[1]["Retry-After"]
    assert ready[2].startswith(b"not ready; degraded: ")
    assert alive[0] == 200
    wait_until(lambda: counted(stack, "/full") == accepted)
    wait_until(lambda: stack.get("/readyz")[2] == b"ready\n")
