"""Where address and User-Agent end: a raw hit becomes a row that holds neither."""

from __future__ import annotations

import datetime
import ipaddress
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.enricher import enrich as module
from services.enricher.agents import Agents
from services.enricher.enrich import CannotEnrich, Enricher
from services.enricher.sources import sources_of
from services.hit import Hit, RawHit
from services.session_keys import SessionKeys
from tests.make import ADDRESS, DAY, NOW, NOW_US, USER_AGENT, make_raw_hit, make_settings, number_to_id
from tests.strategies import raw_hits, texts

AGENTS = Agents()
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
TOKEN = "a1b2c3d4" * 4


class NoSessions:
    """Session keys that are destroyed."""

    def session_id(self, *_: Any) -> None:
        return None


def make_enricher(folder: Path | None = None, **environ: str) -> Enricher:
    settings = make_settings(**environ)
    sessions = SessionKeys(folder / "keys", settings.report_timezone) if folder else NoSessions()
    return Enricher(settings, AGENTS, sources_of(settings), {ADDRESS: "DE"}.get, sessions)


PLAIN = make_enricher()
FORGETFUL_SOURCES = sources_of(make_settings())


def enrich(enricher: Enricher = PLAIN, **differing: Any) -> Hit:
    return enricher.enrich(make_raw_hit(**differing), NOW)


def test_a_row_has_what_the_raw_hit_says(tmp_path: Path) -> None:
    enricher = make_enricher(tmp_path)
    url = "https://www.blog.example:8443/p%C3%A4ge?utm_source=hn&utm_medium=Post&q=secret&page=2#part"
    hit = enrich(
        enricher, id=7, url=url, title="A page", referrer="https://x.example/1?a=b&ref=c#d", event="signup",
        props={"plan": "pro", "n": 1}, language="de-CH", screen="1920x1080", status=200, is_me=True,
    )  # fmt: skip
    session = SessionKeys(tmp_path / "keys", datetime.UTC).session_id(
        DAY, "blog.example", ADDRESS, USER_AGENT, NOW
    )  # type: ignore[arg-type]
    assert hit == Hit(
        hit_id=number_to_id(7), received_at_us=NOW_US, day=NOW.date(), site="blog.example", host="www.blog.example",
        path="/päge", query="utm_source=hn&utm_medium=Post&page=2", title="A page", event="signup",
        props='{"plan":"pro","n":1}', status=200, referrer="https://x.example/1?ref=c", source="Hacker News",
        source_detail=None, channel="Campaign", link_tag=None, utm_source="hn", utm_medium="Post",
        utm_campaign=None, utm_term=None, utm_content=None,
        country="DE", session_id=session, is_bot=False, bot_name=None, bot_class=None, subscribers=None, is_me=True,
        browser="Chrome", os="Linux", device="desktop", language="de-CH", screen="1920x1080",
    )  # fmt: skip


def test_what_is_not_known_is_null() -> None:
    hit = enrich(address="198.51.100.1")
    unknown = [
        *("query", "title", "props", "status", "referrer", "source", "country", "session_id", "bot_name"),
        *("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "language", "screen"),
    ]
    assert {name: getattr(hit, name) for name in unknown} == dict.fromkeys(unknown)
    assert (hit.channel, hit.event, hit.is_bot, hit.is_me) == ("Direct", "pageview", False, False)


# Address and User-Agent ---------------------------------------------------------------------------------------

versions = st.lists(st.integers(0, 9_999), min_size=2, max_size=4).map(
    lambda parts: ".".join(map(str, parts))
)
products = st.sampled_from(
    ["Chrome", "Firefox", "Safari", "Canary", "CanaryBot", "Edg", "Mobile", "Version", "curl"]
)
agents = st.builds(
    "Mozilla/5.0 ({}; {}) {}/{} {}/{}".format,
    st.sampled_from(["Windows NT 10.0", "Linux; Android 14", "iPhone; CPU iPhone OS 17_5", "compatible"]),
    st.text("abcXYZ0189-_.+", min_size=4, max_size=20),
    products, versions, products, versions,
) | st.builds("{}/{} (+https://{}.example)".format, products, versions, st.text("abc", min_size=3)) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=40, max_size=200
)  # fmt: skip


@given(raw=raw_hits, address=st.ip_addresses(), agent=agents, url=texts.map(quote))
def test_no_field_of_a_row_holds_the_address_or_the_user_agent(
    tmp_path: Path, raw: RawHit, address: ipaddress.IPv4Address | ipaddress.IPv6Address, agent: str, url: str
) -> None:
    text = str(address)
    raw = msgspec.structs.replace(raw, address=text, user_agent=agent, url=f"https://blog.example/{url}")
    shown = (raw.url, raw.referrer, raw.title, raw.event, repr(raw.props), raw.site, raw.hit_id.hex())
    hit = make_enricher(tmp_path).enrich(raw, NOW)
    fields = [str(value) for value in msgspec.structs.astuple(hit) if value is not None]
    if not any(text in part for part in shown):  # ::1 may stand in a title
        assert not [value for value in fields if text in value and len(text) > 6]
    if not any(agent in part for part in shown):
        assert not [value for value in fields if agent in value]
    for family in (hit.browser, hit.os, hit.device, hit.bot_name):
        assert family is None or len(family) <= 64


@pytest.mark.parametrize("agent", [USER_AGENT, BOT, "curl/8.5.0", "secret-tool/1.2 (jane@mail.example)", ""])
def test_no_version_and_no_model_is_kept(agent: str) -> None:
    fields = repr(enrich(user_agent=agent))
    for part in ("142", "7319", "2.1", "8.5", "1.2", "jane", "AppleWebKit", "+http"):
        assert part not in fields


def test_a_bot_gets_country_and_session_like_people(tmp_path: Path) -> None:
    hit = enrich(make_enricher(tmp_path), user_agent=BOT)
    assert (hit.is_bot, hit.bot_name, hit.country, hit.browser) == (True, "Googlebot", "DE", None)
    assert hit.session_id


@pytest.mark.parametrize("is_me", [False, True])
def test_a_privacy_signal_leaves_no_session(tmp_path: Path, is_me: bool) -> None:
    hit = enrich(make_enricher(tmp_path), anonymous=True, is_me=is_me)
    assert (hit.session_id, hit.is_me) == (None, is_me)
    assert list((tmp_path / "keys").iterdir()) == [], "nor a key"


def test_a_later_hit_than_the_key_has_no_session(tmp_path: Path) -> None:
    enricher = make_enricher(tmp_path)
    late = NOW + datetime.timedelta(days=2)
    assert enricher.enrich(make_raw_hit(), late).session_id is None


# The page -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "path", "query"),
    [
        ("https://blog.example", "blog.example", "/", None),
        ("https://BLOG.example./A", "blog.example", "/A", None),
        ("https://user:secret@blog.example:1/a", "blog.example", "/a", None),
        ("https://bücher.example/a", "xn--bcher-kva.example", "/a", None),
        ("https://[2001:db8::1]/a", "2001:db8::1", "/a", None),
        ("https://blog.example/%C3%A4%20%F0%9F%92%A9", "blog.example", "/ä 💩", None),
        ("https://blog.example/ä", "blog.example", "/ä", None),
        ("https://blog.example/a%2Fb%3Fc%23d", "blog.example", "/a/b?c#d", None),
        ("https://blog.example/100%25", "blog.example", "/100%", None),
        ("https://blog.example/100%", "blog.example", "/100%", None),
        ("https://blog.example/%zz", "blog.example", "/%zz", None),
        ("https://blog.example/%FF", "blog.example", "/%FF", None),
        ("https://blog.example/ä%FF", "blog.example", "/ä%FF", None),
        ("https://blog.example/%E4%F6", "blog.example", "/%E4%F6", None),
        ("https://blog.example/a%00b", "blog.example", "/ab", None),
        ("https://blog.example/a+b", "blog.example", "/a+b", None),
        ("https://blog.example//a//b", "blog.example", "//a//b", None),
        ("https://blog.example/a;b=c", "blog.example", "/a;b=c", None),
        ("https://blog.example/a#b?ref=c", "blog.example", "/a", None),
        ("https://blog.example/a?", "blog.example", "/a", None),
        ("https://blog.example/a?q=1&id=2", "blog.example", "/a", None),
        ("https://blog.example/a?ref=x", "blog.example", "/a", "ref=x"),
        ("https://blog.example/a?REF=x&Utm_Source=y", "blog.example", "/a", "REF=x&Utm_Source=y"),
        ("https://blog.example/a?via=1&q=2&source=3&page=4&utm_x=5&utmx=6", "blog.example", "/a",
         "via=1&source=3&page=4&utm_x=5"),
        ("https://blog.example/a?%72ef=x", "blog.example", "/a", "%72ef=x"),
        ("https://blog.example/a?ref", "blog.example", "/a", "ref"),
        ("https://blog.example/a?ref=a%20b%26c", "blog.example", "/a", "ref=a%20b%26c"),
        ("https://blog.example/a?&&ref=a&&", "blog.example", "/a", "ref=a"),
        ("https://blog.example/a?ref=a;q=b", "blog.example", "/a", "ref=a;q=b"),
    ],
)  # fmt: skip
def test_a_page_has_host_path_and_the_allowed_query(
    url: str, host: str, path: str, query: str | None
) -> None:
    hit = enrich(url=url)
    assert (hit.host, hit.path, hit.query) == (host, path, query)


@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ("utm_source=a+b", "utm_source", "a b"),
        ("utm_medium=%C3%A4", "utm_medium", "ä"),
        ("utm_campaign=%FF", "utm_campaign", "\N{REPLACEMENT CHARACTER}"),
        ("utm_term=a&utm_term=b", "utm_term", "a"),
        ("utm_content= ", "utm_content", None),
        ("UTM_CONTENT=x", "utm_content", "x"),
        ("utm_content=%00x", "utm_content", "x"),
        ("utm_content=jane%40mail.example", "utm_content", "…"),
        (f"utm_content={TOKEN}", "utm_content", "…"),
    ],
)
def test_the_campaign_is_read(query: str, name: str, value: str | None) -> None:
    assert getattr(enrich(url=f"https://blog.example/?{query}"), name) == value


def test_a_blank_parameter_names_no_source() -> None:
    assert enrich(url="https://blog.example/?ref=%20&utm_source=&via=d").source == "d"


def test_properties_and_names_of_events_hold_no_address_and_no_token() -> None:
    props = {"url": f"https://x.example/u/jane@mail.example/{TOKEN}", "n": 1, "yes": True, TOKEN: "a"}
    hit = enrich(event="mail jane@mail.example", props=props)
    assert hit.props == '{"url":"https://x.example/u/…/…","n":1,"yes":true,"…":"a"}'
    assert hit.event == "mail …"


def test_which_parameters_are_kept_is_a_setting() -> None:
    enricher = make_enricher(QUERY_PARAMETERS="Q, lang")
    hit = enrich(
        enricher,
        url="https://blog.example/?q=1&ref=2&LANG=3&utm_source=4",
        referrer="https://x.example/?q=1&b",
    )
    assert (hit.query, hit.referrer) == ("q=1&LANG=3&utm_source=4", "https://x.example/?q=1")
    assert hit.source == "4"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://blog.example/app#/about", "/app#/about"),
        ("https://blog.example/app#/%C3%A4", "/app#/ä"),
        ("https://blog.example/#/u/jane@mail.example", "/#/u/…"),
        (f"https://blog.example/#/{TOKEN}", "/#/…"),
        ("https://blog.example/app", "/app"),
        ("https://blog.example/app/index.html#/about/", "/app#/about"),
        ("https://blog.example/#/", "/"),
        ("https://blog.example/#/search?q=secret&ref=x", "/#/search"),
    ],
)
def test_hash_routing_keeps_the_fragment_without_its_query(url: str, path: str) -> None:
    assert enrich(make_enricher(HASH_ROUTING="on"), url=url).path == path
    assert "#" not in enrich(url=url).path


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://blog.example/", "https://", "file:///a"])
def test_without_a_page_there_is_no_row(url: str) -> None:
    with pytest.raises(CannotEnrich, match=r"^url$"):
        enrich(url=url)


# The referrer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("referrer", "kept"),
    [
        ("", None),
        ("https://x.example", "https://x.example/"),
        ("HTTPS://X.Example:8443/A?b=c#d", "https://x.example/A"),
        ("http://user:secret@x.example/", "http://x.example/"),
        ("https://x.example/?ref=1&q=2&utm_source=3", "https://x.example/?ref=1&utm_source=3"),
        ("https://[2001:DB8::1]:80/a", "https://[2001:db8::1]/a"),
        ("https://x.example/u/jane@mail.example", "https://x.example/u/…"),
        ("https://x.example/u/jane%40mail.example?email=a%40b.example", "https://x.example/u/…"),
        (f"https://x.example/{TOKEN}", "https://x.example/…"),
        ("https://x.example/%C3%A4", "https://x.example/%C3%A4"),
        ("android-app://com.example.reader/https/x?q=1", "android-app://com.example.reader/https/x"),
        ("some words?q=1", "some words"),
        ("jane@mail.example", "…"),
        ("?q=1", None),
        ("ftp://user:secret@files/", "ftp://files/"),
        ("https%3A%2F%2Fx.example%2Fp%3Fq%3Dsecret%26ref%3Db", "https://x.example/p?ref=b"),
        ("https%3A%2F%2Fx.example%2F%00p%FF", "https://x.example/p\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_referrer_keeps_what_names_nobody(referrer: str, kept: str | None) -> None:
    assert enrich(referrer=referrer).referrer == kept


# Redaction ----------------------------------------------------------------------------------------------------

SPELLINGS = [
    "jane.doe@mail.example", "jane.doe%40mail.example", "jane.doe%40mail%2Eexample", "jane%2Edoe%40mail%2eexample",
    "%6Aane.doe@mail.example", "jane.doe@%6Dail.example", "jane.doe%2540mail.example",
]  # fmt: skip


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize(
    "place",
    ["https://blog.example/u/{}/x", "https://blog.example/%FF/{}", "https://blog.example/?ref={}",
     "https://blog.example/?utm_campaign=a&via={}&page=2"],
)  # fmt: skip
def test_no_spelling_of_an_e_mail_address_is_kept(place: str, spelling: str) -> None:
    for hit in (enrich(url=place.format(spelling)), enrich(referrer=place.format(spelling))):
        fields = " ".join(str(value) for value in msgspec.structs.astuple(hit) if value is not None)
        for text in (fields, unquote(fields), unquote(unquote(fields))):
            assert "jane.doe@" not in text
        assert "…" in fields


@pytest.mark.parametrize("place", ["https://blog.example/r/{}", "https://blog.example/r?ref={}"])
def test_no_spelling_of_a_token_is_kept(place: str) -> None:
    encoded = "".join(f"%{ord(character):02X}" for character in TOKEN)
    for spelling in (TOKEN, encoded, encoded[:48] + TOKEN[16:]):
        for hit in (enrich(url=place.format(spelling)), enrich(referrer=place.format(spelling))):
            assert TOKEN not in unquote(repr(hit))


def test_what_is_redacted_leaves_the_rest_of_the_query_readable() -> None:
    hit = enrich(url="https://blog.example/?ref=x%26y+jane%40mail%2Eexample&page=2")
    assert hit.query is not None
    assert [part.partition("=")[0] for part in hit.query.split("&")] == ["ref", "page"]


def test_a_title_is_redacted() -> None:
    assert enrich(title=f"Mail for jane@mail.example: {TOKEN}").title == "Mail for …: …"
    assert enrich(title="…").title == "…"


def test_a_source_is_redacted() -> None:
    assert enrich(url=f"https://blog.example/?ref=friend+{TOKEN}").source == "friend …"
    assert enrich(url=f"https://blog.example/?ref={TOKEN}").source is None


def test_redaction_may_be_switched_off() -> None:
    hit = enrich(make_enricher(REDACT="off"), url=f"https://blog.example/{TOKEN}", title="jane@mail.example")
    assert (hit.path, hit.title) == (f"/{TOKEN}", "jane@mail.example")


# Status and memory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "status", "expected"),
    [
        ("404 – Blog", None, 404),
        ("Page not found", None, 404),
        ("PAGE NOT FOUND | Blog", None, 404),
        ("Not found", None, 404),
        ("Seite nicht gefunden", None, 404),
        ("404 ways to cook", None, 404),
        ("4040", None, None),
        ("How I found 404", None, None),
        ("", None, None),
        ("Page not found", 200, 200),
        ("A post", 404, 404),
        ("A post", 410, 410),
    ],
)
def test_a_missing_page_is_known_by_status_or_title(
    title: str, status: int | None, expected: int | None
) -> None:
    assert enrich(title=title, status=status).status == expected


def test_which_titles_are_of_missing_pages_is_a_setting() -> None:
    enricher = make_enricher(MISSING_PAGE_TITLES="nada")
    assert enrich(enricher, title="Nada aquí").status == 404
    assert enrich(enricher, title="404").status is None


def test_the_memory_is_bounded_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED_PAGES", 10)
    enricher = make_enricher()
    for number in range(35):
        url, referrer = f"https://blog.example/{number}", f"https://x.example/{number}"
        for _ in range(2):
            hit = enrich(enricher, url=url, referrer=referrer)
            assert (hit.path, hit.referrer) == (f"/{number}", referrer)
    assert len(enricher._pages) <= 10
    assert len(enricher._origins) <= 10


_sites = st.sampled_from(["blog.example", "shop.example"])
_queries = st.sampled_from(
    ["", "?utm_source=a&utm_medium=b", "?utm_campaign=c&utm_term=d&utm_content=e", "?gclid=1"]
)
_senders = st.sampled_from(
    ["", "https://www.google.com/", "https://blog.example/0", "https://shop.example/?ref=f"]
)


@given(
    hits=st.lists(
        st.builds(
            lambda hit, site, number, query, referrer: msgspec.structs.replace(
                hit, site=site, url=f"https://{site}/{number}{query}", referrer=referrer
            ),
            raw_hits, _sites, st.integers(0, 2), _queries, _senders,
        ),
        max_size=20,
    )
)  # fmt: skip
def test_what_is_remembered_gives_the_row_that_reading_it_gives(hits: list[RawHit]) -> None:
    settings = make_settings()
    for raw in hits:
        forgetful = Enricher(settings, AGENTS, FORGETFUL_SOURCES, {ADDRESS: "DE"}.get, NoSessions())
        FORGETFUL_SOURCES._known.clear()
        assert PLAIN.enrich(raw, NOW) == forgetful.enrich(raw, NOW)


def test_each_part_of_a_row_stands_where_the_row_has_it() -> None:
    """They are given to it by place."""
    agent = "Feedly/1.0 (+https://www.feedly.com/fetcher.html; 7 subscribers)"
    query = "utm_source=a&utm_medium=b&utm_campaign=c&utm_term=d&utm_content=e"
    url, referrer = f"https://blog.example/p?{query}&gclid=1", "https://www.google.com/"
    hit = enrich(url=url, referrer=referrer, user_agent=agent, language="de-CH", screen="1920x1080")
    utm = (hit.utm_source, hit.utm_medium, hit.utm_campaign, hit.utm_term, hit.utm_content)
    assert (utm, hit.query, hit.link_tag, hit.referrer) == (tuple("abcde"), query, "gclid", referrer)
    assert (hit.country, hit.language, hit.screen) == ("DE", "de-CH", "1920x1080")
    bot, person = AGENTS.agent_of(agent), AGENTS.agent_of(USER_AGENT)
    assert (bot.is_bot, bot.bot_name, bot.bot_class, bot.subscribers) == (True, "Feedly", "feed", 7)
    for known, row in ((bot, hit), (person, enrich())):
        assert {name: getattr(row, name) for name in known._fields} == known._asdict()
    assert module._Origin._fields == Hit.__struct_fields__[8:19]


@given(raw=raw_hits, url=texts, referrer=texts)
def test_any_raw_hit_is_a_row_or_cannot_be_for_its_url(raw: RawHit, url: str, referrer: str) -> None:
    raw = msgspec.structs.replace(raw, url="https://" + url, referrer="https://" + referrer)
    try:
        hit = PLAIN.enrich(raw, NOW)
    except CannotEnrich as error:
        assert str(error) == "url"
        return
    assert (hit.hit_id, hit.received_at_us) == (raw.hit_id, raw.received_at_us)
    assert re.fullmatch(r"[a-z0-9_.:-]+", hit.host)
