"""Where a hit came from: a name and a channel."""

from __future__ import annotations

import tomllib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.enricher.sources import SOURCES_FILE, SourceList, Sources
from services.sites import Sites
from tests.make import make_settings
from tests.strategies import wild_texts

CHANNELS = {"Direct", "Search", "Social", "News", "Email", "AI", "Referral", "Campaign"}
SITES = make_settings(SITES="blog.example, shop.example=blog.example, other.example").sites
SOURCES = Sites(SITES)
FIND = Sources(SOURCES.site_of)
DIRECT = (None, "Direct")


def source_of(referrer: str = "", **query: str) -> tuple[str | None, str]:
    """Source and channel of a hit of www.blog.example."""
    return tuple(FIND.source_of("blog.example", "www.blog.example", query, referrer))  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("referrer", "expected"),
    [
        ("", DIRECT),
        ("https://www.google.com/", ("Search", "Search")),
        ("https://www.google.de/search?q=x", ("Search", "Search")),
        ("https://www.google.co.uk/", ("Search", "Search")),
        ("https://google.com.br", ("Search", "Search")),
        ("https://duckduckgo.com/", ("Search", "Search")),
        ("https://html.duckduckgo.com/", ("Search", "Search")),
        ("https://www.bing.com/", ("Search", "Search")),
        ("https://search.yahoo.com/", ("Search", "Search")),
        ("https://de.search.yahoo.com/", ("Search", "Search")),
        ("https://yandex.ru/", ("Search", "Search")),
        ("https://search.brave.com/", ("Search", "Search")),
        ("https://kagi.com/", ("Search", "Search")),
        ("https://mail.google.com/", ("Gmail", "Email")),
        ("https://mail.yahoo.com/", ("Yahoo Mail", "Email")),
        ("https://news.google.com/", ("Google News", "News")),
        ("https://gemini.google.com/app", ("Gemini", "AI")),
        ("https://docs.google.com/", ("Search", "Search")),
        ("https://googleusercontent.com/", ("googleusercontent.com", "Referral")),
        ("https://notgoogle.com/", ("notgoogle.com", "Referral")),
        ("https://google.evil-site.com/", ("google.evil-site.com", "Referral")),
        ("https://news.ycombinator.com/item?id=1", ("Hacker News", "News")),
        ("https://ycombinator.com/", ("ycombinator.com", "Referral")),
        ("https://lobste.rs/s/abc", ("Lobsters", "News")),
        ("https://old.reddit.com/r/x", ("Reddit", "Social")),
        ("https://www.reddit.com/", ("Reddit", "Social")),
        ("https://mastodon.social/@a", ("Mastodon", "Social")),
        ("https://t.co/abc", ("X", "Social")),
        ("https://www.x.com/", ("X", "Social")),
        ("https://netflix.com/", ("netflix.com", "Referral")),
        ("https://bsky.app/profile/a", ("Bluesky", "Social")),
        ("https://l.facebook.com/", ("Facebook", "Social")),
        ("https://chatgpt.com/", ("ChatGPT", "AI")),
        ("https://www.perplexity.ai/", ("Perplexity", "AI")),
        ("https://author.substack.com/", ("Substack", "Email")),
        ("https://github.com/a/b", ("GitHub", "Referral")),
        ("https://WWW.Friend.Example:8080/post?x#y", ("friend.example", "Referral")),
        ("http://user:pass@friend.example/", ("friend.example", "Referral")),
        ("android-app://com.google.android.gm/", ("com.google.android.gm", "Referral")),
        ("android-app://", DIRECT),
        ("?", DIRECT),
        ("?utm_source=x", DIRECT),
        ("chrome-extension://abc/", DIRECT),
        # The site itself, by whatever name.
        ("https://www.blog.example/other", DIRECT),
        ("https://blog.example/", DIRECT),
        ("https://sub.blog.example/", DIRECT),
        ("https://shop.example/", DIRECT),
        ("https://other.example/", ("other.example", "Referral")),
        # Nobody.
        ("http://localhost:3000/", DIRECT),
        ("http://192.168.1.1/", DIRECT),
        ("http://8.8.8.8/", DIRECT),
        ("http://[2606:4700::1]/", DIRECT),
    ],
)
def test_the_referrer_is_a_source(referrer: str, expected: tuple[str | None, str]) -> None:
    assert source_of(referrer) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"utm_source": "hackernews"}, ("Hacker News", "News")),
        ({"utm_source": "HN"}, ("Hacker News", "News")),
        ({"utm_source": "twitter"}, ("X", "Social")),
        ({"utm_source": "x"}, ("x", "Referral")),
        ({"utm_source": "google"}, ("Search", "Search")),
        ({"utm_source": "chatgpt.com"}, ("ChatGPT", "AI")),
        ({"utm_source": "friend.example"}, ("friend.example", "Referral")),
        ({"utm_source": "https://www.friend.example/x"}, ("friend.example", "Referral")),
        ({"utm_source": "newsletter"}, ("Newsletter", "Email")),
        ({"utm_source": "my letter"}, ("my letter", "Referral")),
        ({"ref": "producthunt"}, ("producthunt", "Referral")),
        ({"via": "lobsters"}, ("Lobsters", "News")),
        ({"source": "reddit"}, ("Reddit", "Social")),
        ({"utm_source": "a", "ref": "b", "source": "c", "via": "d"}, ("a", "Referral")),
        ({"utm_source": "blog.example"}, DIRECT),
        ({"utm_source": "x" * 500}, ("x" * 128, "Referral")),
        # The medium and the campaign say what kind it is.
        ({"utm_source": "letter", "utm_medium": "email"}, ("letter", "Email")),
        ({"utm_source": "letter", "utm_medium": "E-Mail"}, ("letter", "Email")),
        ({"utm_source": "fb", "utm_medium": "social"}, ("Facebook", "Social")),
        ({"utm_source": "google", "utm_medium": "cpc"}, ("Search", "Campaign")),
        ({"utm_source": "google", "utm_campaign": "spring"}, ("Search", "Campaign")),
        ({"utm_campaign": "spring"}, (None, "Campaign")),
        ({"utm_medium": "email"}, (None, "Email")),
    ],
)
def test_the_page_s_own_address_names_the_source(
    query: dict[str, str], expected: tuple[str | None, str]
) -> None:
    assert source_of("", **query) == expected
    if "utm_source" in query:
        assert source_of("https://friend.example/", **query) == expected, "it beats the referrer"


def test_a_link_within_the_site_names_no_source() -> None:
    own = "https://www.blog.example/other"
    assert source_of(own, source="menu") == (None, "Direct")
    assert source_of(own, utm_source="menu") == ("menu", "Referral"), "a campaign's tag is meant"


def test_a_campaign_keeps_the_referrer_s_source() -> None:
    assert source_of("https://www.google.com/", utm_campaign="spring") == ("Search", "Campaign")


LIST = tomllib.loads(SOURCES_FILE.read_text())["source"]


def test_a_host_and_a_name_stand_once() -> None:
    hosts = Counter(host for row in LIST for host in row["hosts"])
    names = Counter(name for row in LIST for name in row["names"])
    assert [thing for thing, number in (hosts + names).items() if hosts[thing] > 1 or names[thing] > 1] == []
    assert Counter(row["name"] for row in LIST).most_common(1)[0][1] == 1


@pytest.mark.parametrize("row", LIST, ids=lambda row: row["name"])
def test_a_row_of_the_list_is_found_by_every_host_and_name(row: dict[str, object]) -> None:
    sources = SourceList()
    assert row["channel"] in CHANNELS - {"Direct", "Campaign"}
    assert set(row) == {"name", "channel", "hosts", "names"}
    for host in row["hosts"]:  # type: ignore[attr-defined]
        assert host == host.lower().strip()
        for found in (host.replace(".*", ".de"), "www." + host.replace(".*", ".de")):
            assert sources.of_host(found) == (row["name"], row["channel"])
    for name in row["names"]:  # type: ignore[attr-defined]
        assert name == name.lower().strip()
        assert sources.of_name(name.upper()) == (row["name"], row["channel"])


@given(
    referrer=wild_texts | wild_texts.map("https://".__add__),
    query=st.dictionaries(
        st.sampled_from(["utm_source", "utm_medium", "utm_campaign", "ref", "via"]), wild_texts
    ),
)
def test_any_hit_has_a_channel_of_the_closed_set(referrer: str, query: dict[str, str]) -> None:
    name, channel = source_of(referrer, **query)
    assert channel in CHANNELS
    assert name is None or 0 < len(name) <= 128
