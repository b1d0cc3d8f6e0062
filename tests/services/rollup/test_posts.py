"""Feeds are asked over real sockets, within limits; their posts become rows whose first hours are counted exactly."""

from __future__ import annotations

import base64
import contextlib
import datetime
import functools
import gzip
import http.server
import socket
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.database import connect
from services.enricher.agents import Agents
from services.enricher.enrich import Enricher
from services.enricher.sources import sources_of
from services.page_address import parse_address
from services.rollup import feed_question, feeds, posts
from services.rollup.download import NotFetched
from services.rollup.feed_question import Answer as Found
from services.rollup.feed_question import Condition, fetch
from services.rollup.feeds import Entries, names_of, read
from services.rollup.posts import look, page_of
from services.rollups import REFRESH_LOCK
from services.settings import Settings
from tests.conftest import Database
from tests.make import Log, make_hit, make_raw_hit, make_settings
from tests.services.rollup.conftest import Parts
from tests.services.rollup.definition import differences, put
from tests.services.rollup.test_country import Answer, Server, body, silence, status, trickle
from tests.services.rollup.test_schedule import Worker
from tests.strategies import wild_texts
from tools.servers import poll

pytestmark = pytest.mark.servers
NOW = datetime.datetime(2026, 11, 22, 18, 30, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
HOUR = datetime.timedelta(hours=1)
SECRET = "tokenOfTheFeed7319"

RSS = """<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0"><channel><title>Blog</title><link>https://blog.example/</link>
<item><title>Caf\u00e9 &amp;lt;b&amp;gt; &lt;em&gt;now&lt;/em&gt;</title><link>/caf%C3%A9/?utm_source=feed#top</link>
  <pubDate>Sun, 22 Nov 2026 10:30:00 +0100</pubDate></item>
<item><title>Older</title><link>https://www.blog.example/older/index.html</link>
  <pubDate>Sat, 21 Nov 2026 08:00:00 GMT</pubDate></item>
<item><link>https://blog.example/untitled</link><pubDate>Fri, 20 Nov 2026 08:00:00 GMT</pubDate></item>
<item><title>No date</title><link>/undated</link></item>
<item><title>No link</title><pubDate>Sat, 21 Nov 2026 08:00:00 GMT</pubDate></item>
<item><title>Elsewhere</title><link>https://other.example/x</link>
  <pubDate>Sat, 21 Nov 2026 08:00:00 GMT</pubDate></item>
<item><title>Draft</title><link>http://localhost:1313/x</link><pubDate>Sat, 21 Nov 2026 08:00:00 GMT</pubDate></item>
<item><title>Script</title><link>javascript:alert(1)</link><pubDate>Sat, 21 Nov 2026 08:00:00 GMT</pubDate></item>
<item><title>Long ago</title><link>/0001</link><pubDate>Mon, 01 Jan 0001 00:00:00 GMT</pubDate></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://blog.example/notes/">
<title>Notes</title><id>urn:1</id><updated>2026-11-22T10:00:00Z</updated>
<entry><title type="html">A &amp;amp; B</title><id>urn:2</id><link rel="alternate" href="one"/>
  <published>2026-11-21T10:00:00+01:00</published><updated>2026-11-22T10:00:00Z</updated></entry>
<entry><title>Changed only</title><id>urn:3</id><link href="two"/><updated>2026-11-20T10:00:00Z</updated></entry>
</feed>"""
RDF = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
 xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="x"><title>t</title><link>https://blog.example/</link></channel>
<item rdf:about="https://blog.example/rdf"><title>Of 2000</title><link>https://blog.example/rdf</link>
<dc:date>2026-11-19T00:00:00+00:00</dc:date></item></rdf:RDF>"""


def feed_of(*items: tuple[str, datetime.datetime], title: str = "Post") -> bytes:
    """RSS with an entry for each path and time."""
    entries = "".join(
        f"<item><title>{title}</title><link>https://blog.example{path}</link>"
        f"<pubDate>{at:%a, %d %b %Y %H:%M:%S} +0000</pubDate></item>"
        for path, at in items
    )
    return f'<rss version="2.0"><channel><title>Blog</title>{entries}</channel></rss>'.encode()


@pytest.fixture(autouse=True)
def a_proxy_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would ask for anything; a feed is asked for without it."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def headed(content: bytes, **headers: str) -> Answer:
    """200 with this body and these headers, ``_`` for ``-``."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        for name, value in {**headers, "Content_Length": str(len(content))}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def found(text: str | bytes, address: str = "https://blog.example/feed.xml", kind: str = "") -> Found:
    content = text if isinstance(text, bytes) else text.encode()
    return Found(content, address, kind, Condition())


def entries_of(text: str | bytes, **environ: str) -> Entries:
    settings = make_settings(SITES="blog.example", **environ)
    return read(found(text), page_of(settings), NOW)


# Reading ------------------------------------------------------------------------------------------------------------


def test_the_entries_of_rss_become_posts_with_the_paths_of_their_hits() -> None:
    read_posts, entries, skipped = entries_of(RSS)
    assert [(p.site, p.host, p.path, p.title, p.published_at.isoformat()) for p in read_posts] == [
        ("blog.example", "blog.example", "/café", "Café <b> now", "2026-11-22T09:30:00+00:00"),
        ("blog.example", "www.blog.example", "/older", "Older", "2026-11-21T08:00:00+00:00"),
        ("blog.example", "blog.example", "/untitled", "/untitled", "2026-11-20T08:00:00+00:00"),
    ]
    assert read_posts[0].url == "https://blog.example/caf%C3%A9/?utm_source=feed#top"
    assert (entries, skipped) == (9, 6)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ATOM, [("/notes/one", "A & B", 21), ("/notes/two", "Changed only", 20)]),
        (RDF, [("/rdf", "Of 2000", 19)]),
        (RSS.replace("</channel></rss>", ""), [("/café", "Café <b> now", 22), ("/older", "Older", 21),
                                               ("/untitled", "/untitled", 20)]),
        ('<rss version="2.0"><channel><title>t</title></channel></rss>', []),
        # A page named twice was published with the first, and is one post.
        (feed_of(("/a/", NOW), ("/a#more", NOW - DAY)), [("/a", "Post", 21)]),
        (feed_of(("/a", NOW), title="x" + "y" * 500), [("/a", "x" + "y" * 199, 22)]),
        (feed_of(("/" + "a" * 3_000, NOW)), []),
    ],
    ids=["Atom", "RSS 1.0", "cut off", "empty", "twice", "long title", "long link"],
)  # fmt: skip
def test_other_feeds_are_read_too(text: str | bytes, expected: list[tuple[str, str, int]]) -> None:
    assert [(p.path, p.title, p.published_at.day) for p in entries_of(text).posts] == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html><body>Not found</body></html>", "no RSS or Atom feed"),
        ("", "no RSS or Atom feed"),
        ("/etc/hostname", "no RSS or Atom feed"),
        ("http://127.0.0.1:1/feed.xml", "no RSS or Atom feed"),
        (b"\xff\xfe\x00<rss", "no RSS or Atom feed|XML is broken"),
        ("<rss version='2.0'><<<", "XML is broken"),
        ('<!DOCTYPE l [<!ENTITY a "aaaaaaaaaa">'
         + "".join(f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9))
         + ']><rss version="2.0"><channel><title>&j;</title></channel></rss>', "XML is broken"),
        (feed_of(("/a", NOW), title="&#xD800;"), "the parser fails"),
    ],
    ids=["HTML", "nothing", "a file's name", "an address", "bytes", "broken", "a billion laughs", "half a character"],
)  # fmt: skip
def test_what_is_no_feed_is_said(text: str | bytes, words: str) -> None:
    with pytest.raises(NotFetched, match=words):
        entries_of(text)


def test_the_newest_entries_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_ENTRIES", 2)
    posts_read = entries_of(feed_of(*((f"/{n}", NOW - n * DAY) for n in (3, 1, 2)))).posts
    assert [post.path for post in posts_read] == ["/1", "/2"]


class _NoSessions:
    def session_id(self, *_: object) -> None:
        return None


@functools.cache
def enricher_of(hash_routing: str) -> Enricher:
    settings = make_settings(SITES="*", HASH_ROUTING=hash_routing)
    return Enricher(settings, Agents(), sources_of(settings), lambda _: None, _NoSessions())


@given(
    path=wild_texts,
    fragment=st.sampled_from(["", "#/route", "#a"]),
    hash_routing=st.sampled_from(["on", "off"]),
)
def test_a_post_has_the_page_of_its_hits(path: str, fragment: str, hash_routing: str) -> None:
    """The enricher's own answer, whatever the link."""
    settings = make_settings(SITES="*", HASH_ROUTING=hash_routing)
    url = f"https://www.blog.example/{path}{fragment}"
    if parse_address(url) is None:
        assert page_of(settings)(url) is None
        return
    hit = enricher_of(hash_routing).enrich(make_raw_hit(url=url, site="blog.example"), NOW)
    assert page_of(settings)(url) == ("blog.example", hit.host, hit.path)


def test_feeds_are_named_without_what_could_be_secret() -> None:
    addresses = [
        f"https://user:{SECRET}@blog.example/feed?key={SECRET}",
        "https://blog.example/feed?format=atom",
        "https://blog.example/other",
    ]
    assert list(names_of([*addresses, addresses[0]])) == [
        "blog.example/feed", "blog.example/feed (2)", "blog.example/other",
    ]  # fmt: skip


# Asking -------------------------------------------------------------------------------------------------------------


def ask(
    server: Server, path: str = "/feed.xml", known: Condition | None = None, within_s: float = 20
) -> Found | None:
    return fetch(server.url + path, known or Condition(), within_s)


def test_a_feed_is_asked_for_what_is_new(server: Server) -> None:
    questions: list[dict[str, str]] = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        questions.append(dict(handler.headers.items()))
        if handler.headers["If-None-Match"] == '"one"':
            return status(304)(handler)
        return headed(RSS.encode(), ETag='"one"', Last_Modified="Sun, 22 Nov 2026 09:30:00 GMT")(handler)

    server.answers["/feed.xml"] = answer
    first = ask(server)
    assert first
    assert first.condition == Condition('"one"', "Sun, 22 Nov 2026 09:30:00 GMT")
    assert ask(server, known=first.condition) is None
    assert "If-None-Match" not in questions[0]
    assert questions[1]["If-Modified-Since"] == "Sun, 22 Nov 2026 09:30:00 GMT"
    assert not {"Authorization", "Cookie"} & {*questions[0], *questions[1]}


def test_a_redirect_is_followed_and_is_where_links_begin(server: Server) -> None:
    server.answers["/feed.xml"] = status(301, Location="/blog/feed.xml")
    server.answers["/blog/feed.xml"] = headed(RSS.encode(), Content_Type="application/rss+xml")
    answer = ask(server)
    assert answer
    assert (answer.address, answer.content_type) == (server.url + "/blog/feed.xml", "application/rss+xml")


def test_a_user_in_the_address_is_told_to_that_address_alone(server: Server) -> None:
    address = server.url.replace("//", f"//me:{SECRET}%40@")
    server.answers["/feed.xml"] = status(301, Location="/moved.xml")
    server.answers["/moved.xml"] = headed(RSS.encode())
    answer = fetch(address + "/feed.xml", Condition(), 20)
    assert answer
    assert SECRET not in answer.address
    told = base64.b64encode(f"me:{SECRET}@".encode()).decode()
    assert server.asked == [("/feed.xml", f"Basic {told}"), ("/moved.xml", None)]


def test_a_packed_feed_is_unpacked(server: Server) -> None:
    server.answers["/feed.xml"] = headed(gzip.compress(RSS.encode()), Content_Encoding="gzip")
    answer = ask(server)
    assert answer
    assert answer.content == RSS.encode()


def drip(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Headers without end, each in time."""
    with contextlib.suppress(OSError):
        handler.wfile.write(b"HTTP/1.0 200 OK\r\n")
        for number in range(200):
            handler.wfile.write(f"X-{number}: ".encode())
            time.sleep(0.05)
            handler.wfile.write(b"y\r\n")


WRONG: dict[str, tuple[Answer, str]] = {
    "nothing there": (status(404), "HTTP status 404"),
    "gone": (status(410), "HTTP status 410"),
    "refused": (status(401), "HTTP status 401"),
    "fails": (status(500), "HTTP status 500"),
    "not modified, unasked": (status(304), "HTTP status 304"),
    "a loop": (status(302, Location="/feed.xml"), "HTTP status 302"),
    "to a file": (status(302, Location="file:///etc/hostname"), "HTTP status 302"),
    "to FTP": (status(302, Location="ftp://127.0.0.1/x"), "redirects to ftp"),
    "huge": (body(bytes(5_000_001)), "larger than 5 MB"),
    "a bomb": (headed(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip"), "larger than 5 MB"),
    "broken packing": (headed(b"nothing packed", Content_Encoding="gzip"), "BadGzipFile"),
    "unknown packing": (headed(b"x", Content_Encoding="br"), "packed in a way"),
    "cut short": (body(b"<rss", 1_000), "IncompleteRead|no RSS"),
    "no HTTP": (lambda handler: handler.wfile.write(b"\0\1\2 hello\r\n\r\n") and None, "BadStatusLine"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_goes_wrong_is_said_without_quoting(server: Server, what: str) -> None:
    server.answers[f"/feed.xml?key={SECRET}"] = server.answers["/feed.xml"] = WRONG[what][0]
    with pytest.raises(NotFetched, match=WRONG[what][1]) as caught:
        answer = ask(server, f"/feed.xml?key={SECRET}")
        assert answer
        read(answer, page_of(make_settings()), NOW)
    assert SECRET not in caught.value.problem + caught.value.what_to_do
    assert "hello" not in caught.value.problem


@pytest.mark.parametrize(
    "answer", [silence, trickle(b"<rss>" * 50), drip], ids=["silence", "body", "headers"]
)
def test_a_slow_feed_is_left(server: Server, answer: Answer) -> None:
    server.answers["/feed.xml"] = answer
    began = time.monotonic()
    with pytest.raises(NotFetched, match=r"took longer than 1 s|Timeout"):
        ask(server, within_s=0.6)
    assert time.monotonic() - began < 2.5, "the answers last 3 s and more"


def test_nobody_there_is_said(server: Server) -> None:
    server.close()
    with pytest.raises(NotFetched, match="ConnectionRefusedError"):
        ask(server)


class _Wire:
    """A wire that says where it leads; no test can be sure of one into the internet."""

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._pair = socket.socketpair()

    def fileno(self) -> int:
        return self._pair[0].fileno()

    def getpeername(self) -> tuple[str, int]:
        return self._peer, 80


@pytest.mark.parametrize(
    ("peers", "is_allowed"),
    [
        (["8.8.8.8"], True),
        (["8.8.8.8", "2001:4860:4860::8888"], True),
        (["8.8.8.8", "127.0.0.1"], False),
        (["8.8.8.8", "::1"], False),
        (["8.8.8.8", "::ffff:10.1.2.3"], False),
        (["8.8.8.8", "169.254.169.254"], False),
        (["2001:4860:4860::8888", "fe80::1%eth0"], False),
        (["8.8.8.8", "8.8.4.4", "192.168.1.1"], False),
        (["8.8.8.8", "64:ff9b::a9fe:a9fe"], False),
        (["64:ff9b::808:808", "64:ff9b::808:404"], True),
        (["8.8.8.8", "fec0::1"], False),
        # What FEEDS itself names may be anywhere, and lead anywhere.
        (["127.0.0.1"], True),
        (["127.0.0.1", "127.0.0.1"], True),
        (["10.0.0.7", "8.8.8.8", "10.0.0.7"], True),
    ],
)
def test_a_public_feed_leads_to_public_addresses_only(peers: list[str], is_allowed: bool) -> None:
    limits = feed_question.Limits(time.monotonic() + 30, 30, 1)
    expectation: Any = (
        contextlib.nullcontext() if is_allowed else pytest.raises(NotFetched, match="not public")
    )
    with feed_question._Wires(limits) as wires, expectation:
        for peer in peers:
            wires.joined(_Wire(peer))  # type: ignore[arg-type]


def test_each_wire_is_looked_at_before_anything_is_sent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first of two questions is taken for one into the internet."""
    joined = feed_question._Wires.joined

    def as_if_public(self: Any, wire: socket.socket) -> None:
        joined(self, wire)
        self._began_inside = False

    monkeypatch.setattr(feed_question._Wires, "joined", as_if_public)
    server.answers["/feed.xml"] = status(302, Location="/inside")
    with pytest.raises(NotFetched, match="not public"):
        ask(server)
    assert [path for path, _ in server.asked] == ["/feed.xml"]


def test_a_proxy_of_the_environment_is_not_asked(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The addresses that are looked at would be the proxy's, and not those that it asks."""
    proxy = Server()
    monkeypatch.setenv("http_proxy", proxy.url)
    server.answers["/feed.xml"] = headed(feed_of(("/a", NOW)))
    try:
        assert ask(server)
    finally:
        proxy.close()
    assert (len(server.asked), proxy.asked) == (1, [])


# The job ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def upkeep(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """As the role that the rollup has."""
    with connect(make_settings(DATABASE_URL=database.role_url("footfall_rollup")), "rollup") as connection:
        yield connection


def test_the_rollup_looks_by_itself_where_feeds_are_named(
    parts: Parts, server: Server, settings: Settings
) -> None:
    server.answers["/feed"] = headed(feed_of(("/a", NOW)))
    feeds_of = {"FEEDS": server.url + "/feed", "SITES": "blog.example", "COUNTRY_REFRESH": "off"}
    with contextlib.closing(_Running(settings, **feeds_of)):
        assert poll(lambda: parts.rows("select count(*) from posts") == [(1,)], 30)
        done = "select last_done_at is not null from jobs where name = 'posts'"
        assert poll(lambda: parts.rows(done) == [(True,)], 30)
    with contextlib.closing(_Running(settings, COUNTRY_REFRESH="off")):
        assert poll(lambda: shown(parts) == {}, 30)
        assert poll(lambda: parts.rows("select count(*) from jobs where name = 'posts'") == [(0,)], 30)


class _Running(Worker):
    def close(self) -> None:
        self.stop()


def settings_for(server: Server, *paths: str) -> Settings:
    return make_settings(SITES="blog.example", FEEDS=",".join(server.url + path for path in paths))


def shown(parts: Parts) -> dict[str, Any]:
    """What is kept of each feed."""
    return {
        row[0].partition("/")[2]: row[1:]
        for row in parts.rows(
            "select feed, error, entries, skipped, ok_at is not null from feeds order by feed"
        )
    }


def test_a_feed_that_fails_is_named_and_takes_nothing_from_others(
    parts: Parts, server: Server, upkeep: psycopg.Connection[Any]
) -> None:
    server.answers["/good"] = headed(RSS.encode())
    server.answers["/bad"] = headed(f"<html>{SECRET}".encode())
    settings, log = settings_for(server, "/bad", "/good", "/none"), Log()
    for _ in range(2):
        look(upkeep, settings, log)
    assert shown(parts) == {
        "bad": ("it is no RSS or Atom feed", 0, 0, False),
        "good": (None, 9, 7, True),
        "none": ("HTTP status 404", 0, 0, False),
    }
    assert parts.rows("select count(*) from posts") == [(2,)]
    assert log.actions.count("feed-fails") == 2, "said once each"
    assert SECRET not in log.text
    server.answers["/bad"] = headed(feed_of(("/new", NOW)))
    server.answers["/good"] = status(500)
    look(upkeep, settings, log)
    assert log.actions[-2:] == ["feed-fails", "feed-is-well"] or "feed-is-well" in log.actions
    assert shown(parts)["good"] == ("HTTP status 500", 9, 7, True), "what was read stays"
    assert parts.rows("select count(*) from posts") == [(3,)]


def test_a_feed_that_is_no_longer_named_goes_and_its_posts_stay(
    parts: Parts, server: Server, upkeep: psycopg.Connection[Any]
) -> None:
    server.answers["/old"] = headed(feed_of(("/a", NOW), title="Old"))
    server.answers["/new"] = headed(feed_of(("/a", NOW + DAY), title="New"))
    look(upkeep, settings_for(server, "/old", "/new"), Log())
    first = parts.rows("select title, published_at from posts")
    assert first in ([("Old", NOW)], [("New", NOW + DAY)])
    look(upkeep, settings_for(server, "/new"), Log())
    assert list(shown(parts)) == ["new"]
    assert parts.rows("select title, published_at from posts") == [("New", first[0][1])], "its time stays"
    look(upkeep, make_settings(), Log())
    assert shown(parts) == {}
    assert parts.rows("select count(*) from posts") == [(1,)]


def test_what_has_not_changed_is_read_whole_once_a_day(
    parts: Parts, server: Server, upkeep: psycopg.Connection[Any]
) -> None:
    conditions: list[str | None] = []

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        conditions.append(handler.headers["If-None-Match"])
        (status(304) if conditions[-1] else headed(RSS.encode(), ETag='"one"'))(handler)

    server.answers["/feed"] = answer
    settings = settings_for(server, "/feed")
    for _ in range(2):
        look(upkeep, settings, Log())
    parts.eye.execute("delete from posts")
    parts.eye.execute("update feeds set read_at = read_at - interval '25 hours'")
    look(upkeep, settings, Log())
    assert conditions == [None, '"one"', None]
    assert parts.rows("select count(*) from posts") == [(2,)]
    assert shown(parts) == {"feed": (None, 9, 7, True)}


def test_feeds_that_take_too_long_come_first_the_next_time(
    parts: Parts, server: Server, upkeep: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("/1", "/2", "/3"):
        server.answers[path] = headed(RSS.encode())
    settings, log = settings_for(server, "/1", "/2", "/3"), Log()
    look(upkeep, settings, log)
    parts.eye.execute("update feeds set tried_at = tried_at - interval '1 hour' where feed like '%/3'")
    server.asked.clear()

    def slow(handler: http.server.BaseHTTPRequestHandler) -> None:
        time.sleep(0.5)
        status(500)(handler)

    server.answers["/3"] = slow
    monkeypatch.setattr(posts, "ALL_WITHIN_S", 0.3)
    look(upkeep, settings, log)
    assert [path for path, _ in server.asked] == ["/3"]
    assert "feeds-left" in log.actions


# Counting -----------------------------------------------------------------------------------------------------------


def views_of(parts: Parts) -> dict[str, dict[int, int]]:
    """Pageviews of each post's first 24 and 168 hours."""
    shown: dict[str, dict[int, int]] = {}
    for path, hours, pageviews in parts.rows(
        "select path, span_hours, sum(pageviews)::int from daily_posts group by 1, 2 order by 1, 2"
    ):
        shown.setdefault(path, {})[hours] = pageviews
    return shown


def hit_at(at: datetime.datetime, **differing: Any) -> Any:
    return make_hit(received_at=at, day=at.date(), path="/a", **differing)


def test_the_first_hours_begin_and_end_to_the_moment(
    parts: Parts, server: Server, upkeep: psycopg.Connection[Any]
) -> None:
    """Whether the hits were counted before there was a post, or come later, or late."""
    published = (NOW - 9 * DAY).replace(minute=17)
    tick = datetime.timedelta(microseconds=1)
    moments = [published - tick, published, published + DAY - tick, published + DAY, published + 7 * DAY - tick,
               published + 7 * DAY]  # fmt: skip
    server.answers["/feed"] = headed(feed_of(("/a", published), ("/unread", published)))
    put(parts.store, *(hit_at(at) for at in moments))
    put(
        parts.store,
        hit_at(published, is_bot=True),
        hit_at(published, is_me=True),
        hit_at(published, event="buy"),
    )
    parts.refresh_all()
    assert views_of(parts) == {}
    put(parts.store, *(hit_at(at) for at in moments))  # that wait to be counted
    look(upkeep, settings_for(server, "/feed"), Log())
    assert views_of(parts) == {"/a": {24: 2, 168: 4}}
    parts.refresh_all()
    assert views_of(parts) == {"/a": {24: 4, 168: 8}}
    put(parts.store, *(hit_at(at) for at in moments))
    parts.refresh_all()
    assert views_of(parts) == {"/a": {24: 6, 168: 12}}
    assert differences(parts.eye) == {}


def test_a_post_waits_for_who_changes_rollups(
    parts: Parts, server: Server, upkeep: psycopg.Connection[Any]
) -> None:
    """Else a refresh that has begun would count its hits without the post, and nobody would ever add them."""
    server.answers["/feed"] = headed(feed_of(("/a", NOW)))
    parts.eye.execute("select pg_advisory_lock(%s)", [REFRESH_LOCK])
    upkeep.execute("set lock_timeout = '200ms'")
    upkeep.commit()
    with pytest.raises(psycopg.errors.LockNotAvailable):
        look(upkeep, settings_for(server, "/feed"), Log())
    assert parts.rows("select count(*) from posts") == [(0,)]
    parts.eye.execute("select pg_advisory_unlock(%s)", [REFRESH_LOCK])
    look(upkeep, settings_for(server, "/feed"), Log())
    assert parts.rows("select count(*) from posts") == [(1,)], "what failed was not taken for read"
