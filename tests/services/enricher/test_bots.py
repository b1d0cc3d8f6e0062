"""Which bot, of which class; who only looks like one. A new rule in bots.toml has its line here."""

from __future__ import annotations

import tomllib

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from hypothesis import given

from services.enricher.bots import BOTS_FILE, CLASSES, NO_AGENT, OTHER_BOT, Bots, name_in, pattern_of
from tests.strategies import texts

BOTS = Bots()
DATA = tomllib.loads(BOTS_FILE.read_text(encoding="utf-8"))
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
ANDROID = f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36"

# User-Agent, name, class.
CLASSED = [
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot", "search"),
    ("Mozilla/5.0 (compatible; Baiduspider-render/2.0; +x)", "Baidu", "search"),
    ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "YandexBot", "search"),
    (f"Mozilla/5.0 {WEBKIT}; compatible; GPTBot/1.2; +https://openai.com/gptbot", "GPTBot", "AI"),
    ("Mozilla/5.0 (compatible; Claude-User/1.0; +mail)", "Claude-User", "AI"),
    ("Mozilla/5.0 (compatible; Kimi-User/1.0)", "Kimi-User", "AI"),
    ("Feedbin feed-id:1 - 142 subscribers", "Feedbin", "feed"),
    ("NetNewsWire (RSS Reader; https://netnewswire.com/)", "NetNewsWire", "feed"),
    ("UniversalFeedParser/4.2 +http://feedparser.org/", "feedparser", "feed"),
    ("Mastodon/4.2.0 (http.rb/5.1; +https://mastodon.example/)", "Mastodon", "preview"),
    ("WhatsApp/2.23.20.0 A", "WhatsApp", "preview"),
    ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Slackbot", "preview"),
    ("Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "UptimeRobot", "monitor"),
    (ANDROID + " CloudflareObservatory/1.0", "CloudflareObservatory", "monitor"),
    ("curl/8.5.0", "curl", "tool"),
    (ANDROID.replace("Chrome/", "HeadlessChrome/"), "HeadlessChrome", "tool"),
    ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "AhrefsBot", "scraper"),
    # No rule names them: the class is what the words or the structure say.
    ("Canary FeedFetcher/1.0", OTHER_BOT, "feed"),
    ("Mozilla/5.0 (compatible; CanaryMonitor/1.0)", OTHER_BOT, "monitor"),
    ("Mozilla/5.0 (compatible; Canary/1.0)", OTHER_BOT, "scraper"),
    (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT[:-1]}; Canary) Chrome/142.0 Safari/537.36", OTHER_BOT, "scraper"),
    (ANDROID + " (+https://canary.example)", OTHER_BOT, "scraper"),
    (ANDROID + " (canary@example.org)", OTHER_BOT, "scraper"),
    ("Mozilla/5.0 Canary", OTHER_BOT, "scraper"),
    ("Mozilla/5.0", OTHER_BOT, "scraper"),
    (ANDROID + " ${jndi:ldap://x}", OTHER_BOT, "scraper"),
    (ANDROID + "' OR 1=1", OTHER_BOT, "scraper"),
    ("User-Agent: " + ANDROID, OTHER_BOT, "scraper"),
    ("canary", OTHER_BOT, "tool"),
    ("", NO_AGENT, "tool"),
    (" \t", NO_AGENT, "tool"),
]  # fmt: skip

PEOPLE = [
    ANDROID,
    ANDROID.replace("Pixel 8", "CUBOT X30"),
    ANDROID.replace("Pixel 8", "C Bot Tab 100"),  # a model may be called as it likes
    ANDROID.replace("Pixel 8", "ViewSonic A8+ Build/X"),
    ANDROID.replace("Pixel 8", "Expanse"),
    ANDROID + " Viber/11.9.5.8",
    ANDROID + " Line/13.4.1/IAB",
    ANDROID + " Snapchat/12.60 (like Safari/604.1)",
    ANDROID + " (Ecosia android@111.0.5563.116)",
    ANDROID + " SogouMobileBrowser/3.5.3",
    ANDROID + " [FB_IAB/FB4A;FBAV/466.0.0.0;]",
    ANDROID + " Instagram 334.0 Android (34/14; 420dpi; Google; en_US)",
    "Instagram 5.0.2 Android (15/4.0.4; 240dpi; 480x800; X; en_US)",
    "Lynx/2.9.0dev.4 libwww-FM/2.14 SSL-MM/1.4.1",
    "NCSA_Mosaic/2.7 (X11;Linux) libwww/2.12 modified",
    "MOT-V177/0.1 UP.Browser/6.2 (GUI) MMP/2.0",
    "DoCoMo/1.0/D501i",
    "HbbTV/1.6.1 (+DRM; Samsung; SmartTV2023)",
    "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0; Pro)",
    "Safari/9537.86.7.8 CFNetwork/673.6 Darwin/13.4.0",
    "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1)",
    "Mozilla/5.0 (compatible; Konqueror/3.5; OpenBSD) KHTML/3.5.9 (like Gecko)",
]  # fmt: skip


@pytest.mark.parametrize(("text", "name", "bot_class"), CLASSED)
def test_a_bot_has_a_name_and_a_class(text: str, name: str, bot_class: str) -> None:
    bot = BOTS.bot_of(text)
    assert bot is not None
    assert (bot.name, bot.bot_class) == (name, bot_class)


@pytest.mark.parametrize("text", PEOPLE)
def test_people_are_nobodys_bot(text: str) -> None:
    assert BOTS.bot_of(text) is None


@pytest.mark.parametrize("text", PEOPLE)
def test_what_is_passed_over_hides_no_bot(text: str) -> None:
    bot = BOTS.bot_of(text + " (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")
    assert bot is not None
    assert bot.name == "Googlebot"


@pytest.mark.parametrize(
    ("text", "subscribers"),
    [
        ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; 12 subscribers)", 12),
        ("Feedbin feed-id:1373711 - 1 subscribers", 1),
        ("NewsBlur Feed Fetcher - 20 subscribers - https://x", 20),
        ("LiveJournal.com (x; 8 readers)", 8),
        ("Feedly/1.0 (99999999 subscribers)", None),
        ("Feedly/1.0 (12,345 subscribers)", None),
        ("Feedly/1.0", None),
        ("curl/8 12 subscribers", None),
        ("Googlebot/2.1 12 subscribers", None),
    ],
)
def test_a_feed_fetcher_says_for_how_many_it_asks(text: str, subscribers: int | None) -> None:
    bot = BOTS.bot_of(text)
    assert bot is not None
    assert bot.subscribers == subscribers


def test_the_packaged_list_is_known() -> None:
    """The rules were made from it: what is missing was left out on purpose, because it catches people."""
    agents = [agent for row in CRAWLER_USER_AGENTS_DATA for agent in row.get("instances", [])]
    known = sum(BOTS.bot_of(agent) is not None for agent in agents)
    assert known >= 0.99 * len(agents)


def test_what_is_left_out_of_the_packaged_list_is_in_it() -> None:
    names = {name_in(row["pattern"]) for row in CRAWLER_USER_AGENTS_DATA}
    assert set(DATA["crawler_list"]["leave_out"]) <= names


def test_a_word_stands_under_one_name() -> None:
    words = [word.lower() for bots in DATA["bots"].values() for words in bots.values() for word in words]
    assert sorted(set(words)) == sorted(words)
    names = [name for bots in DATA["bots"].values() for name in bots]
    assert sorted(set(names)) == sorted(names)
    assert set(DATA["bots"]) | set(DATA["words"]) <= set(CLASSES)


@pytest.mark.parametrize(
    ("word", "text", "matches"),
    [
        ("bot", "x-bot/1", True), ("bot", "bottle", False), ("bot", "robot", False), ("*bot", "robot", True),
        ("bot*", "bottle", True), ("^curl", "curl/8", True), ("^curl", "x curl/8", False), ("x$", "a x", True),
        ("x$", "a x b", False), ("a.b", "a.b", True), ("a.b", "axb", False),
    ],
)  # fmt: skip
def test_a_word_is_plain_text_with_a_front_and_an_end(word: str, text: str, matches: bool) -> None:
    import re2

    assert bool(re2.search(pattern_of(word), text)) == matches


@given(text=texts)
def test_a_name_stands_in_a_rule(text: str) -> None:
    bot = BOTS.bot_of(text.encode("utf-8", "replace").decode())
    if bot is not None:
        assert bot.name in BOTS.names
        assert bot.bot_class in CLASSES
