"""What becomes of a request: every row of the contract's table of parameters, and no input that raises."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from services.hit import MAX_USER_AGENT, RawHit
from services.pixel.collect import (
    Accepted,
    Collector,
    Excluded,
    Headers,
    Outcome,
    Refused,
)
from services.pixel.parameters import body_parameters
from tests.make import ADDRESS, DAY, NOW_US, encode, make_keys, make_settings
from tests.strategies import examples, wild_texts

URL = "https://blog.example/a"
MADE_ID = bytes(range(16, 32))
EMOJI = "\N{PILE OF POO}"


def make_collector(**environ: str) -> Collector:
    return Collector(make_settings(**environ), lambda now_us: DAY, lambda now_us: MADE_ID)


ANYONE = make_collector()


def collect(
    parameters: dict[str, Any] | None = None,
    headers: Headers | None = None,
    collector: Collector = ANYONE,
    **more: Any,
) -> Outcome:
    """The outcome of a request for URL with further parameters."""
    sent = {"url": URL, **more} if parameters is None else parameters
    return collector.collect(sent, headers or Headers(), ADDRESS, NOW_US)


def accepted(**more: Any) -> RawHit:
    """The hit of a request that is accepted with nothing dropped."""
    outcome = collect(**more)
    assert isinstance(outcome, Accepted)
    assert outcome.dropped == ()
    return outcome.hit


def test_a_hit_has_what_was_sent_and_what_is_known() -> None:
    headers = Headers(user_agent="Firefox", accept_language="de-CH,de;q=0.9", cookie="a=b")
    outcome = collect({"url": URL}, headers)
    assert isinstance(outcome, Accepted)
    assert outcome.hit == RawHit(
        hit_id=MADE_ID, received_at_us=NOW_US, day=DAY, site="blog.example", url=URL, address=ADDRESS,
        user_agent="Firefox", language="de-CH",
    )  # fmt: skip
    assert outcome.dropped == ()


# url ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "referer", "url"),
    [
        ({"url": URL}, "", URL),
        ({"url": URL}, "https://other.example/", URL),
        ({}, URL, URL),
        ({"url": ""}, URL, URL),
        ({"url": None}, URL, URL),
        ({"url": "  " + URL + "\n"}, "", URL),
        ({"url": "https://blog.example/\0a"}, "", URL),
        ({"url": URL + "x" * 3_000}, "", URL + "x" * (2_048 - len(URL))),
        ({"url": URL + EMOJI * 3_000}, "", URL + EMOJI * (2_048 - len(URL))),
        ({"url": URL + "\ud83d"}, "", URL + "?"),
        ({}, URL + "\udcff", URL + "?"),
    ],
)
def test_the_page_is_url_else_the_referer(parameters: dict[str, Any], referer: str, url: str) -> None:
    outcome = collect(parameters, Headers(referer=referer))
    assert isinstance(outcome, Accepted)
    assert outcome.hit.url == url


@pytest.mark.parametrize(
    "url",
    [None, "", " ", "\0", "blog.example", "/a", "ftp://blog.example/", "https://", "https://[::1", "about:blank",
     "javascript:alert(1)", 7, ["https://blog.example/"], {"a": 1}, True, "\ud83d", "https://\0"],
    ids=repr,
)  # fmt: skip
def test_without_a_page_a_request_is_refused(url: object) -> None:
    assert collect({"url": url}) == Refused("", "url")


def test_a_wrong_url_is_refused_even_when_the_referer_is_right() -> None:
    assert collect({"url": "nonsense"}, Headers(referer=URL)) == Refused("", "url")


# id -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("absent", [None, ""])
def test_without_an_id_the_pixel_makes_one(absent: str | None) -> None:
    assert accepted(id=absent).hit_id == MADE_ID


@pytest.mark.parametrize(
    "text",
    ["0190f2a4-5c1d-7d3e-8a4b-1234567890ab", "0190F2A4-5C1D-7D3E-8A4B-1234567890AB",
     " 0190f2a4-5C1D-7d3e-8a4b-1234567890ab "],
)  # fmt: skip
def test_an_id_is_a_uuid_in_any_case(text: str) -> None:
    assert uuid.UUID(bytes=accepted(id=text).hit_id) == uuid.UUID("0190f2a4-5c1d-7d3e-8a4b-1234567890ab")


@pytest.mark.parametrize(
    "text",
    ["x", "0190f2a45c1d7d3e8a4b1234567890ab", "{0190f2a4-5c1d-7d3e-8a4b-1234567890ab}", " ", "\0",
     "urn:uuid:0190f2a4-5c1d-7d3e-8a4b-1234567890ab", "0190f2a4-5c1d-7d3e-8a4b-1234567890a", 7, True, ["x"],
     "٠190f2a4-5c1d-7d3e-8a4b-1234567890ab", "0190f2a4-5c1d-7d3e-8a4b-1234567890abc"],
    ids=repr,
)  # fmt: skip
def test_a_wrong_id_is_refused_for_its_site(text: object) -> None:
    assert collect(id=text) == Refused("blog.example", "id")


# The optional ones ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sent", "kept"),
    [
        ("title", "A post", "A post"),
        ("title", None, ""),
        ("title", "  \tA post\n", "A post"),
        ("title", "A\0 post", "A post"),
        ("title", "t" * 600, "t" * 512),
        ("title", EMOJI * 600, EMOJI * 512),
        ("title", "half \ud83d", "half ?"),
        ("referrer", "https://x.example/1?q=2#3", "https://x.example/1?q=2#3"),
        ("referrer", "android-app://com.example/", "android-app://com.example/"),
        ("referrer", "r" * 3_000, "r" * 2_048),
        ("referrer", "", ""),
        ("screen", "1920x1080", "1920x1080"),
        ("screen", " 390x844 ", "390x844"),
        ("screen", "99999x1", "99999x1"),
        ("screen", "", ""),
        ("language", "de", "de"),
        ("language", "zh-Hant-TW", "zh-Hant-TW"),
        ("language", "sl-rozaj-biske-1994", "sl-rozaj-biske-1994"),
        ("language", None, ""),
        ("status", "404", 404),
        ("status", 410, 410),
        ("status", "100", 100),
        ("status", "599", 599),
        ("status", "", None),
        (
            "props",
            '{"plan": "pro", "n": 2, "x": 1.5, "new": true}',
            {"plan": "pro", "n": 2, "x": 1.5, "new": True},
        ),
        ("props", {"plan": "pro"}, {"plan": "pro"}),
        ("props", "{}", None),
        ("props", {}, None),
        ("props", "", None),
        ("props", {"a": ""}, {"a": ""}),
        ("props", {"k" * 64: "v" * 300}, {"k" * 64: "v" * 300}),
        ("props", {str(n): n for n in range(30)}, {str(n): n for n in range(30)}),
        ("props", {"big": 2**63 - 1, "small": -(2**63)}, {"big": 2**63 - 1, "small": -(2**63)}),
        ("event", "signup", "signup"),
        ("event", " sign up ", "sign up"),
        ("event", "e" * 64, "e" * 64),
        ("event", "käufe 🛒", "käufe 🛒"),
        ("event", "pageview", "pageview"),
        ("event", "", "pageview"),
        ("event", None, "pageview"),
    ],
)
def test_a_good_value_is_kept(name: str, sent: object, kept: object) -> None:
    assert getattr(accepted(**{name: sent}), name) == kept


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("title", 7), ("title", ["x"]), ("title", {"a": "b"}), ("title", True),
        ("referrer", 7), ("referrer", []),
        ("screen", "0x1080"), ("screen", "1920X1080"), ("screen", "1920×1080"), ("screen", "1920x"), ("screen", "a"),
        ("screen", "100000x1"), ("screen", "1920x1080x24"), ("screen", 1920), ("screen", ["1x1"]), ("screen", "\0"),
        ("screen", "١٢x٣٤"), ("screen", "1920x1080\nx"),
        ("language", "d"), ("language", "de_DE"), ("language", "de-"), ("language", "ä"), ("language", "x" * 36),
        ("language", "abcdefgh-abcdefgh-abcdefgh-abcdefgh-a"), ("language", ["de"]), ("language", 7),
        ("status", "99"), ("status", "600"), ("status", "4040"), ("status", 404.0), ("status", True), ("status", "x"),
        ("status", -404), ("status", [404]), ("status", 10**5_000), ("status", "٤٠٤"),
        ("props", "x"), ("props", "[1]"), ("props", "null"), ("props", 7), ("props", [1]), ("props", True),
        ("props", '{"a": [1]}'), ("props", '{"a": {"b": 1}}'), ("props", '{"a": null}'), ("props", {"a": None}),
        ("props", {"": 1}), ("props", {"k" * 65: 1}), ("props", {"a": "v" * 301}), ("props", {"a": float("inf")}),
        ("props", {str(n): n for n in range(31)}), ("props", {"a": 2**63}), ("props", {"a\0": 1}),
        ("props", {"a": "\0"}), ("props", '{"a": "\\u0000"}'), ("props", {"a": "\ud83d"}), ("props", '{"a": 1e999}'),
        ("props", "{" * 5_000), ("props", '{"a":' * 5_000), ("props", '{"a": ' + "9" * 5_000 + "}"),
    ],
    ids=lambda value: repr(value)[:30] if not isinstance(value, int) else "number",
)  # fmt: skip
def test_a_bad_value_is_dropped_and_named_and_the_hit_kept(name: str, sent: object) -> None:
    outcome = collect(**{name: sent})
    assert isinstance(outcome, Accepted)
    assert outcome.dropped == (name,)
    assert getattr(outcome.hit, name) == RawHit.__struct_defaults__[RawHit.__struct_fields__.index(name) - 6]


def test_all_that_is_dropped_is_named() -> None:
    bad = {"title": 1, "referrer": 1, "screen": "x", "language": "_", "status": "x", "props": "x"}
    outcome = collect(**bad)
    assert isinstance(outcome, Accepted)
    assert outcome.dropped == tuple(bad)


@pytest.mark.parametrize(
    "sent",
    ["e" * 65, " ", "a\nb", "a\0b", "\x7f", "half \ud83d", 7, True, False, ["signup"], {"a": 1}, 1.5],
    ids=repr,
)
def test_a_bad_event_is_invalid_and_never_a_pageview(sent: object) -> None:
    assert accepted(event=sent).event == "invalid"


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", "de-DE"),
        ("en", "en"),
        (" fr ;q=1", "fr"),
        ("*", ""),
        ("", ""),
        ("de_DE", ""),
        ("\udcff", ""),
        ("a" * 9_000, ""),
        ("abcdefgh-abcdefgh-abcdefgh-abcdefgh-a,de", ""),
    ],
)
def test_the_language_is_the_browser_s_first_where_none_is_sent(accept: str, language: str) -> None:
    outcome = collect({"url": URL}, Headers(accept_language=accept))
    assert isinstance(outcome, Accepted)
    assert outcome.hit.language == language


def test_a_bad_language_is_unknown_not_guessed() -> None:
    outcome = collect({"url": URL, "language": "x_y"}, Headers(accept_language="de"))
    assert isinstance(outcome, Accepted)
    assert (outcome.hit.language, outcome.dropped) == ("", ("language",))


def test_an_empty_language_is_an_absent_one() -> None:
    outcome = collect({"url": URL, "language": ""}, Headers(accept_language="de"))
    assert isinstance(outcome, Accepted)
    assert outcome.hit.language == "de"


@pytest.mark.parametrize(
    ("cookie", "is_me"),
    [
        ("isMe=true", True),
        ("a=b; isMe=true; c=d", True),
        ("a=b;isMe=true", True),
        ("isMe=false", False),
        ("isMe=trueish", False),
        ("xisMe=true", False),
        ("a=isMe=true", False),
        ("isme=true", False),
        ("", False),
    ],
)
def test_the_owner_s_cookie_marks_a_hit(cookie: str, is_me: bool) -> None:
    outcome = collect({"url": URL}, Headers(cookie=cookie))
    assert isinstance(outcome, Accepted)
    assert outcome.hit.is_me == is_me


def test_a_long_user_agent_is_cut() -> None:
    outcome = collect({"url": URL}, Headers(user_agent="a\0" + "b" * 5_000 + "\udcff"))
    assert isinstance(outcome, Accepted)
    assert outcome.hit.user_agent == "a" + "b" * (MAX_USER_AGENT - 1)


def test_unknown_parameters_are_passed_over() -> None:
    assert accepted(utm_source="x", v=1, url2=None) == accepted()


# Excluded on purpose --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost/", "http://LOCALHOST:3000/a", "http://localhost./", "https://my.localhost/",
        "http://printer.local/", "http://shop.test:8080/", "http://127.0.0.1/", "http://127.9.9.9:1/",
        "http://10.0.0.5/", "http://172.20.0.2/", "http://192.168.178.2/", "http://169.254.0.1/",
        "http://0.0.0.0:8000/", "http://[::1]/", "http://[0:0:0:0:0:0:0:1]:80/", "http://[fd00::5]/",
        "http://[fe80::1%25eth0]/", "http://[::ffff:10.0.0.1]/", "http://user:pass@localhost/",
        "file:///home/me/index.html", "FILE:///C:/index.html", "  file:///a ",
    ],
)  # fmt: skip
@pytest.mark.parametrize("sites", ["*", "blog.example", "localhost,test,local"])
def test_a_page_on_the_sender_s_own_machine_is_excluded(url: str, sites: str) -> None:
    collector = make_collector(SITES=sites)
    assert collect({"url": url}, collector=collector) == Excluded("", "local-host")
    assert collect({}, Headers(referer=url), collector) == Excluded("", "local-host")


@pytest.mark.parametrize(
    "url", ["https://blog.invalid/", "https://blog.example/", "https://localhost.example/"]
)
def test_names_for_documentation_are_counted(url: str) -> None:
    assert isinstance(collect({"url": url}), Accepted)


@pytest.mark.parametrize(
    ("url", "site", "excluded"),
    [
        ("https://x--preview.blog.example/", "blog.example", True),
        ("https://X--PREVIEW.Blog.Example:8443/", "blog.example", True),
        ("https://staging.blog.example/", "blog.example", True),
        ("https://a.pages.example/", "", True),
        ("https://pages.example/", "", False),
        ("https://blog.example/", "blog.example", False),
        ("https://preview.blog.example/", "blog.example", False),
    ],
)
def test_excluded_hosts_are_excluded(url: str, site: str, excluded: bool) -> None:
    patterns = "*--preview.blog.example, staging.*, *.pages.example"
    outcome = collect({"url": url}, collector=make_collector(SITES="blog.example", EXCLUDED_HOSTS=patterns))
    assert (outcome == Excluded(site, "excluded-host")) == excluded


def test_a_stranger_s_site_is_excluded() -> None:
    collector = make_collector(SITES="blog.example")
    assert collect({"url": "https://evil.example/"}, collector=collector) == Excluded("", "unknown-site")
    assert isinstance(collect({"url": "https://www.blog.example/"}, collector=collector), Accepted)


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "prefetch;anonymous-client-ip"])
def test_a_prefetch_is_excluded(purpose: str) -> None:
    assert collect({"url": URL}, Headers(purpose=purpose)) == Excluded("blog.example", "prefetch")


@pytest.mark.parametrize(
    ("setting", "signal", "expected"),
    [("anonymous", True, True), ("anonymous", False, False), ("ignore", True, False), ("drop", False, False)],
)
def test_a_privacy_signal_makes_a_hit_anonymous(setting: str, signal: bool, expected: bool) -> None:
    outcome = collect({"url": URL}, Headers(privacy_signal=signal), make_collector(PRIVACY_SIGNALS=setting))
    assert isinstance(outcome, Accepted)
    assert outcome.hit.anonymous == expected


def test_a_privacy_signal_may_drop_a_hit() -> None:
    outcome = collect({"url": URL}, Headers(privacy_signal=True), make_collector(PRIVACY_SIGNALS="drop"))
    assert outcome == Excluded("blog.example", "privacy-signal")


def test_what_is_excluded_is_not_refused_for_its_id() -> None:
    assert collect({"url": "http://localhost/", "id": "x"}) == Excluded("", "local-host")


@pytest.mark.parametrize(
    ("sites", "origin", "allowed"),
    [
        ("blog.example", "https://blog.example", True),
        ("blog.example", "http://www.blog.example:8080", True),
        ("blog.example", "https://evil.example", False),
        ("blog.example", "https://notblog.example", False),
        ("blog.example", "null", False),
        ("blog.example", "", False),
        ("blog.example", "blog.example", False),
        ("blog.example", "https://blog.example/canary", False),
        ("blog.example", "https://blog.example/", False),
        ("blog.example", "https://user@blog.example", False),
        ("blog.example", "https://blog.example:x", False),
        ("blog.example", "https://blog.example?x", False),
        ("blog.example", "https://blog.example#x", False),
        ("blog.example", "https://blog.example https://evil.example", False),
        ("*", "https://[2001:db8::1]:8080", True),
        ("*", "https://[::1]", False),
        ("*", "https://any.example", True),
        ("*", "http://localhost:3000", False),
        ("*", "null", False),
        ("*", "moz-extension://abc", False),
    ],
)
def test_an_origin_is_allowed_when_its_site_is_counted(sites: str, origin: str, allowed: bool) -> None:
    assert make_collector(SITES=sites).allows_origin(origin) == allowed


# Query and body -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "title"),
    [
        (b'{"url": "https://blog.example/a", "title": "half \\ud83d"}', "half ?"),
        (b'{"url": "https://blog.example/a", "title": "bad \xff"}', "bad \N{REPLACEMENT CHARACTER}"),
        (b'{"url": "https://blog.example/a", "title": "x", "props": {"a": 1e999}}', "x"),
        (b'{"url": "https://blog.example/a", "title": "x", "screen": NaN}', "x"),
    ],
    ids=["half a character", "not UTF-8", "a number beyond all", "no number"],
)
def test_a_bad_value_in_a_json_body_loses_no_hit(body: bytes, title: str) -> None:
    """JSON.stringify writes half a character as an escape: a title that a program cut."""
    parameters = body_parameters(body)
    assert parameters is not None
    outcome = collect(parameters)
    assert isinstance(outcome, Accepted)
    assert outcome.hit.title == title


# Nothing raises -------------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | wild_texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(wild_texts, inner, max_size=3),
    max_leaves=5,
)
NAMES = ["url", "referrer", "title", "screen", "language", "event", "props", "status", "id"]
requests = st.dictionaries(st.sampled_from(NAMES), json_values)
headers_sent = st.builds(
    Headers, wild_texts, wild_texts, wild_texts, wild_texts, wild_texts, privacy_signal=st.booleans()
)
COLLECTORS = [
    ANYONE,
    make_collector(SITES="blog.example", EXCLUDED_HOSTS="*--preview.*", PRIVACY_SIGNALS="drop"),
    make_collector(PRIVACY_SIGNALS="ignore"),
]


@given(sent=requests, headers=headers_sent, good_url=st.booleans(), collector=st.sampled_from(COLLECTORS))
@hypothesis_settings(max_examples=examples(300))
def test_no_request_raises_and_what_is_accepted_crosses_the_codec(
    sent: dict[str, Any], headers: Headers, good_url: bool, collector: Collector
) -> None:
    if good_url:
        sent = {**sent, "url": URL}
    outcome = collect(sent, headers, collector)
    assert isinstance(outcome, Accepted | Excluded | Refused)
    if isinstance(outcome, Accepted):
        packed = msgspec.msgpack.encode(outcome.hit)
        assert msgspec.msgpack.decode(packed, type=RawHit) == outcome.hit


@given(url=wild_texts, start=st.sampled_from(["", "https://", "http://[", "https://blog.example/", "file:"]))
def test_no_url_raises(url: str, start: str) -> None:
    collect({"url": start + url})
    collect({}, Headers(referer=start + url))
    ANYONE.allows_origin(start + url)


def test_a_hit_that_is_accepted_can_be_sealed(tmp_path: Path) -> None:
    assert encode([accepted(title=EMOJI * 600, props={"a": 2**63 - 1})], make_keys(tmp_path))


def test_the_memory_of_hosts_is_bounded() -> None:
    collector = make_collector()
    for number in range(10_050):
        collector.site_of(f"h{number}.example")
    assert len(collector._hosts) <= 10_000


@given(body=st.binary(max_size=100) | json_values.map(lambda v: json.dumps({"title": v}).encode()))
def test_no_body_raises(body: bytes) -> None:
    for data in (body, b"{" + body, b'{"url": "' + body + b'"}', b'{"status": ' + body + b"}"):
        parameters = body_parameters(data)
        if parameters is not None:
            collect({**parameters, "url": URL})


# A site that was told before ----------------------------------------------------------------------------------------

addresses = st.lists(
    st.sampled_from([
        "http", "https", "HTTPS", "file", "://", ":", "/", "//", "blog.example", "Blog.example", "www.", "127.0.0.1",
        "127.1", "localhost", "x@", "@", "\\", "?", "#", ":80", "[::1]", "\t", "\n", ".", "-", "ü", " ", "a", "\x1f",
    ]),
    max_size=7,
).map("".join)  # fmt: skip


@given(url=addresses | addresses.map(lambda rest: f"https://blog.example{rest}"))
@hypothesis_settings(max_examples=examples(500))
def test_what_is_known_of_a_host_changes_no_decision(url: str) -> None:
    known, unknown = make_collector(SITES="blog.example"), make_collector(SITES="blog.example")
    for host in ("blog.example", "www.blog.example", "127.0.0.1", "localhost", "a"):
        known.collect({"url": f"https://{host}/"}, Headers(), ADDRESS, NOW_US)
    assert known.collect({"url": url}, Headers(), ADDRESS, NOW_US) == unknown.collect(
        {"url": url}, Headers(), ADDRESS, NOW_US
    )
