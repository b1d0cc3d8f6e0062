"""The pages say what this installation does, need nothing from elsewhere, and the tracker stays small."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
from html.parser import HTMLParser

import pytest

from services.pixel.pages import home_page, me_page, page_headers, privacy_page, tracker_source
from services.settings import load_settings
from tools import minify

MAX_GZIP_BYTES = 1_024  # every reader loads it; 1 KiB fits in the first packets of an answer
VOID = {"meta", "br", "link", "img", "input"}


class Outline(HTMLParser):
    """Tags, attributes and text of a page; says whether every tag is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.links: list[str] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(page)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words += data


def privacy_words(**environ: str) -> str:
    """The privacy page's text under these settings, white space folded."""
    return " ".join(Outline(privacy_page(load_settings(environ))).words.split())


PAGES = {
    "home": home_page(load_settings({})),
    "privacy": privacy_page(load_settings({})),
    "me, somebody": me_page(False),
    "me, the owner": me_page(True),
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
def test_a_page_is_whole_and_loads_nothing(page: str) -> None:
    outline = Outline(page)
    assert page.startswith("<!doctype html>")
    assert ("html", "lang", "en") in outline.attributes
    assert not {"script", "img", "link", "iframe", "object"} & set(outline.tags)
    assert all(link.startswith("/") and not link.startswith("//") for link in outline.links)
    names = {name for _, name, _ in outline.attributes}
    assert not {name for name in names if name.startswith("on") or name in {"src", "style"}}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())
def test_the_policy_allows_the_style_of_each_page_and_nothing_else(page: str) -> None:
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = page_headers()["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "url(" not in style[1] and "@import" not in style[1]


@pytest.mark.parametrize("is_me", [False, True])
def test_me_has_one_form_with_one_button(is_me: bool) -> None:
    outline = Outline(me_page(is_me))
    assert outline.tags.count("form") == outline.tags.count("button") == 1
    assert ("form", "method", "post") in outline.attributes
    assert ("form", "action", "/me") in outline.attributes
    assert "input" not in outline.tags


def test_me_shows_which_it_is() -> None:
    assert "left out of the figures" in Outline(me_page(True)).words
    assert "counted like everybody" in Outline(me_page(False)).words


def test_every_page_leads_to_the_others() -> None:
    assert {"/privacy/", "/me"} <= set(Outline(PAGES["home"]).links)
    assert "/" in Outline(PAGES["privacy"]).links
    assert "/" in Outline(me_page(False)).links


def test_the_home_page_says_what_is_and_is_not_recorded() -> None:
    words = Outline(PAGES["home"]).words
    for fact in ("Recorded:", "Not recorded:", "IP address", "User-Agent", "country", "No cookie"):
        assert fact in words


@pytest.mark.parametrize(
    "fact",
    [
        "Your IP address.",
        "encrypted under a random key that serves for one hour",
        "Then it drops both",
        "they never reach the database",
        "the key of that hour is destroyed",
        "whoever controls the machine",
        "at the latest 6 hours after the day's end",
        "E-mail addresses, and long runs of letters and digits",
        "isMe=true",
        "Visitors get none",
        "deleted after 400 days",
        "time zone UTC",
        "utm_*, ref, source, via, page",
        "counted without a session number",
        "counted for one minute",
        "What follows a # is not kept",
    ],
)
def test_the_privacy_page_says(fact: str) -> None:
    assert fact in privacy_words()


@pytest.mark.parametrize(
    ("name", "value", "said", "not_said"),
    [
        ("PRIVACY_SIGNALS", "drop", "your page view is not recorded", "without a session number"),
        ("PRIVACY_SIGNALS", "ignore", "does not act on the signals", "without a session number"),
        ("RETENTION_DAYS", "30", "after 30 days", "400 days"),
        ("REPORT_TIMEZONE", "Europe/Berlin", "time zone Europe/Berlin", "time zone UTC"),
        ("REDACT", "off", "A session number", "E-mail addresses"),
        ("HASH_ROUTING", "on", "What follows a # is kept", "is not kept"),
        ("RATE_LIMIT", "0", "Not recorded", "one minute"),
        ("QUERY_PARAMETERS", "q,<b>", "utm_*, q, <b> are kept", "via"),
    ],
)
def test_the_privacy_page_follows_the_settings(name: str, value: str, said: str, not_said: str) -> None:
    words = privacy_words(**{name: value})
    assert said in words
    assert not_said not in words


def test_the_tracker_is_small() -> None:
    size = len(gzip.compress(tracker_source()))
    assert size <= MAX_GZIP_BYTES, f"{size} bytes"


def test_the_served_tracker_is_that_of_the_source() -> None:
    text = minify.SOURCE.read_text(encoding="utf-8")
    assert minify.TARGET.read_text(encoding="utf-8") == minify.minified(text), "run `make generated`"
    assert minify.FIRST_LINE.encode() not in tracker_source()


def test_the_tracker_keeps_nothing_in_the_browser_and_runs_under_a_strict_policy() -> None:
    source = tracker_source().decode()
    for word in (
        "cookie",
        "sessionStorage",
        "indexedDB",
        "caches",
        "eval",
        "Function(",
        "unload",
        "sendBeacon",
    ):
        assert word not in source
    assert source.count("localStorage") == source.count("if(localStorage.footfall)return") == 1


def test_the_tracker_is_syntax_of_2019() -> None:
    source = tracker_source().decode()
    assert not re.search(r"\?\?|\?\.[a-z]|\|\|=|\b(class|import|\d+n)\b", source)


@pytest.mark.parametrize("name", ["a", "x-1.php"])
def test_the_tracker_knows_the_name_of_its_endpoint(name: str) -> None:
    assert f'new URL("{name}",' in tracker_source(name).decode()
    assert "ENDPOINT" not in tracker_source(name).decode()
