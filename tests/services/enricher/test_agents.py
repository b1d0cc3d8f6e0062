"""Who is a person and who is a program, by the User-Agent; families without versions."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.enricher import agents as module
from services.enricher.agents import Agent, Agents
from tests.strategies import texts

AGENTS = Agents()
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
APPLE = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36"
ANDROID = f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36"
WEBVIEW = f"Mozilla/5.0 (Linux; Android 14; X; wv) {WEBKIT} Version/4.0 Chrome/125.0.0.0 Mobile Safari/537.36"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {APPLE} Mobile/15E148"
MAC = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {APPLE} Version/18.1 Safari/605.1.15"

# User-Agent, browser, system, device.
PEOPLE = [
    (WINDOWS, "Chrome", "Windows", "desktop"),
    (WINDOWS + " Edg/142.0.0.0", "Edge", "Windows", "desktop"),
    (WINDOWS + " OPR/106.0.0.0", "Opera", "Windows", "desktop"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox", "Linux", "desktop"),
    (MAC, "Safari", "Mac OS X", "desktop"),
    ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Safari/537.36",
     "Chrome", "Chrome OS", "desktop"),
    ("Mozilla/5.0 (Windows NT 6.1; WOW64; Trident/7.0; rv:11.0) like Gecko", "IE", "Windows", "desktop"),
    ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1)", "IE", "Windows", "desktop"),
    (IPHONE.replace("Mobile", "Version/17.5 Mobile") + " Safari/604.1", "Mobile Safari", "iOS", "mobile"),
    ("Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
     "Mobile/15E148 Safari/604.1", "Mobile Safari", "iOS", "tablet"),
    (ANDROID, "Chrome Mobile", "Android", "mobile"),
    (ANDROID.replace("Chrome/", "SamsungBrowser/23.0 Chrome/"), "Samsung Internet", "Android", "mobile"),
    # A make of telephones with "bot" in its name.
    (ANDROID.replace("Pixel 8", "CUBOT X30"), "Chrome Mobile", "Android", "mobile"),
    (ANDROID.replace("Pixel 8", "CUBOT_POWER"), "Chrome Mobile", "Android", "mobile"),
    (ANDROID.replace("Pixel 8", "cubot note 20"), "Chrome Mobile", "Android", "mobile"),
    # Browsers within other programs.
    (IPHONE + " Instagram 334.0.4.32.98 (iPhone15,3; iOS 17_5_1; en_US; en)", "Instagram", "iOS", "mobile"),
    (IPHONE + " [FBAN/FBIOS;FBAV/468.0.0.34.80;FBBV/610319450;FBDV/iPhone14,5;FBSN/iOS;FBSV/17.5;FBLC/de_DE]",
     "Facebook", "iOS", "mobile"),
    (WEBVIEW + " [FB_IAB/FB4A;FBAV/466.0.0.0;]", "Facebook", "Android", "mobile"),
    (WEBVIEW + " [Pinterest/Android]", "Pinterest", "Android", "mobile"),
    (IPHONE + " [Pinterest/iOS]", "Pinterest", "iOS", "mobile"),
    (IPHONE.replace("Mobile", "GSA/300.0.598994205 Mobile") + " Safari/604.1", "Google", "iOS", "mobile"),
    (IPHONE + " Twitter for iPhone/10.5", "Twitter", "iOS", "mobile"),
    (IPHONE + " LinkedInApp/9.29.1", None, "iOS", "mobile"),
    (IPHONE + " MicroMessenger/8.0.42 NetType/WIFI Language/zh_CN", "WeChat Browser", "iOS", "mobile"),
    (WEBVIEW + " trill_2023 musical_ly_ BytedanceWebview/d8a21c6", "TikTok", "Android", "mobile"),
    (WEBVIEW + " Snapchat/12.60", None, "Android", "mobile"),
    (WEBVIEW + " NAVER(inapp; search; 1000; 11.1.1)", None, "Android", "mobile"),
    # Text browsers.
    ("Lynx/2.9.0dev.10 libwww-FM/2.14 SSL-MM/1.4.1 GNUTLS/3.7.1", "Lynx", None, None),
    ("w3m/0.5.3+git20230121", None, None, None),
    ("Links (2.29; Linux 6.1.0 x86_64; GNU C 12.2; text)", "Links", "Linux", None),
    ("ELinks/0.13.2 (textmode; Linux; 80x24-2)", "ELinks", "Linux", None),
    ("Dillo/3.0.5", "Dillo", None, None),
    # Feature phones.
    ("Nokia6300/2.0 (05.50) Profile/MIDP-2.0 Configuration/CLDC-1.1", None, None, "mobile"),
    ("SAMSUNG-SGH-E250/1.0 Profile/MIDP-2.0 Configuration/CLDC-1.1 UP.Browser/6.2.3.3.c.1", None, None, "mobile"),
    ("BlackBerry9700/5.0.0.862 Profile/MIDP-2.1 Configuration/CLDC-1.1 VendorID/331", "BlackBerry", None, "mobile"),
    ("SonyEricssonK750i/R1CA Browser/SEMC-Browser/4.2 Profile/MIDP-2.0 Configuration/CLDC-1.1", None, None, "mobile"),
    ("LG-GU290f/V10e Teleca/WAP1.0 Profile/MIDP-2.1 Configuration/CLDC-1.1", None, None, "mobile"),
    ("Opera/9.80 (J2ME/MIDP; Opera Mini/9.80 (S60; SymbOS; Opera Mobi/23.348; U; en) Presto/2.5.25 Version/10.54",
     "Opera Mini", None, "mobile"),
    ("UCWEB/2.0 (MIDP-2.0; U; Adr 4.4.2; en-US; GT-I9060) U2/1.0.0 UCBrowser/9.4.1.482 U2/1.0.0 Mobile", "UC Browser",
     "Android", None),
    ("Mozilla/5.0 (Mobile; rv:48.0; A405DL) Gecko/48.0 Firefox/48.0 KAIOS/2.5", "Firefox Mobile", "KaiOS", "mobile"),
    # Not a desk and not a telephone.
    (f"Mozilla/5.0 (PlayStation 5 3.00) {APPLE} Version/13.0 Safari/605.1.15", None, None, None),
    ("Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/94.0.4606.128 Safari/537.36",
     "Chrome", None, None),
]  # fmt: skip

# User-Agent, a part of the name it must get.
BOTS = [
    ("", "no User-Agent"),
    ("   ", "no User-Agent"),
    ("curl/8.5.0", "curl"),
    ("Wget/1.21.4", "get"),
    ("python-requests/2.32.3", "python-requests"),
    ("Go-http-client/2.0", "Go-http-client"),
    ("okhttp/4.12.0", "okhttp"),
    ("Java/17.0.1", "Java"),
    ("libwww-perl/6.67", "libwww-perl"),
    ("myscript", "other bot"),
    ("12345", "other bot"),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
    (ANDROID + " (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
    ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bingbot"),
    ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "YandexBot"),
    ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "AhrefsBot"),
    ("Mozilla/5.0 (compatible; SemrushBot/7~bl; +http://www.semrush.com/bot.html)", "SemrushBot"),
    ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/)", "GPTBot"),
    ("ClaudeBot/1.0", "ClaudeBot"),
    ("CCBot/2.0 (https://commoncrawl.org/faq/)", "CCBot"),
    ("Bytespider", "Bytespider"),
    (WINDOWS.replace("Chrome/", "HeadlessChrome/"), "HeadlessChrome"),
    (MAC + " Chrome-Lighthouse", "Lighthouse"),
    ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1", "PhantomJS"),
    (WINDOWS + " Prerender (+https://github.com/prerender/prerender)", ""),
    # Fetchers of feeds and of previews.
    ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; 12 subscribers)", "Feedly"),
    ("Feedbin feed-id:1373711 - 142 subscribers", "Feedbin"),
    ("NetNewsWire (RSS Reader; https://netnewswire.com/)", "NetNewsWire"),
    ("Mozilla/5.0 (compatible; Miniflux/2.1.0; +https://miniflux.app)", "Miniflux"),
    ("Tiny Tiny RSS/23.05 (https://tt-rss.org/)", "Tiny Tiny RSS"),
    ("FreshRSS/1.24.0 (Linux; https://freshrss.org)", "FreshRSS"),
    ("Inoreader/1.0 (+http://www.inoreader.com/feed-fetcher; 5 subscribers; )", "noreader"),
    ("NewsBlur Feed Fetcher - 20 subscribers", "NewsBlur"),
    ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", ""),
    ("Twitterbot/1.0", "Twitterbot"),
    ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Slackbot"),
    ("WhatsApp/2.23.20.0 A", "WhatsApp"),
    ("TelegramBot (like TwitterBot)", "TelegramBot"),
    ("Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)", "Discordbot"),
    ("Mastodon/4.2.0 (http.rb/5.1; +https://mastodon.social/)", "Mastodon"),
    ("Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "UptimeRobot"),
    ("Mozilla/5.0 (compatible; NobodysTool/3.1; +https://nobody.example/)", "other bot"),
    (WINDOWS + " (contact: jane@mail.example)", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "browser", "system", "device"), PEOPLE)
def test_a_person_has_a_browser_a_system_and_a_device(
    text: str, browser: str | None, system: str | None, device: str | None
) -> None:
    agent = AGENTS.agent_of(text)
    assert (agent.is_bot, agent.bot_name) == (False, None)
    for expected, found in ((browser, agent.browser), (system, agent.os), (device, agent.device)):
        assert expected in (None, found)


@pytest.mark.parametrize(("text", "name"), BOTS)
def test_a_bot_has_a_name_and_nothing_else(text: str, name: str) -> None:
    agent = AGENTS.agent_of(text)
    assert agent.is_bot
    assert agent.bot_name
    assert name in agent.bot_name
    assert (agent.browser, agent.os, agent.device) == (None, None, None)


@pytest.mark.parametrize("text", [row[0] for row in PEOPLE + BOTS if row[0].strip()])
def test_families_have_no_versions(text: str) -> None:
    agent = AGENTS.agent_of(text)
    for family in (agent.browser, agent.os, agent.bot_name):
        assert not re.search(r"\d[._]\d|/\d", family or "")
        assert len(family or "") <= 64


def test_reading_twice_is_reading_once() -> None:
    assert AGENTS.agent_of(WINDOWS) is AGENTS.agent_of(WINDOWS)


@given(text=texts | st.text(st.characters(exclude_categories=["Cs"]), min_size=900, max_size=1_024))
def test_any_text_is_somebody(text: str) -> None:
    agent = Agents._read(AGENTS, text)
    assert isinstance(agent, Agent)
    assert agent.is_bot == (agent.bot_name is not None)
    assert agent.device in (None, "desktop", "mobile", "tablet")


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED_AGENTS", 10)
    agents = Agents()
    for number in range(35):
        agents.agent_of(f"tool/{number}")
    assert len(agents._known) <= 10


@pytest.mark.parametrize(
    "text",
    [
        "Canary77",
        "Canary77bot/1.0",
        "Canary77App/1 CFNetwork/1410.0.3 Darwin/22.6.0",
        "Canary77/1.0 (+https://x.example)",
        "Mozilla/5.0 (X11; Linux x86_64) Canary77/7 Safari/537.36",
        "Mozilla/5.0 (Linux; Android 14; Canary77) Chrome/142.0",
        "Mozilla/5.0 (compatible; Canary77; +https://x.example)",
        "Canary77 Feed Reader - 12 subscribers",
    ],
)
def test_no_name_is_taken_from_a_user_agent_that_no_rule_knows(text: str) -> None:
    """Whoever sends hits chooses the text: as a name it would be his User-Agent in a column."""
    assert "canary" not in str(AGENTS.agent_of(text)).lower()
