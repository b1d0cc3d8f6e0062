"""Which bot, of which class; who only looks like one. A new rule in bots.toml has its line here."""

from __future__ import annotations

import re
import tomllib

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from hypothesis import given
from hypothesis import strategies as st

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
    ("Mozilla/5.0 (compatible; DeepseekBot/1.0; +https://www.deepseek.com/bot)", "DeepSeek", "AI"),
    ("Mozilla/5.0 (compatible; Together-Bot/1.0; +https://together.ai/)", "Together AI", "AI"),
    ("Mozilla/5.0 (compatible; xAI-Bot/1.0; +https://x.ai/)", "Grok", "AI"),
    ("Mozilla/5.0 (compatible) Ai2Bot-Dolma (+https://www.allenai.org/crawler)", "Ai2Bot", "AI"),
    ("meta-externalfetcher/1.1", "Meta-ExternalFetcher", "AI"),
    ("Feedbin feed-id:1 - 142 subscribers", "Feedbin", "feed"),
    ("Feedly/1.0 (+http://www.feedly.com/fetcher.html; 16 subscribers; like FeedFetcher-Google)", "Feedly", "feed"),
    ("LinkedInBot/1.0 (compatible; Apache-HttpClient +http://www.linkedin.com)", "LinkedInBot", "preview"),
    (f"Mozilla/5.0 {WEBKIT[:-1]}; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", "ClaudeBot", "AI"),
    ("NetNewsWire (RSS Reader; https://netnewswire.com/)", "NetNewsWire", "feed"),
    ("UniversalFeedParser/4.2 +http://feedparser.org/", "feedparser", "feed"),
    ("Mastodon/4.2.0 (http.rb/5.1; +https://mastodon.example/)", "Mastodon", "preview"),
    ("WhatsApp/2.23.20.0 A", "WhatsApp", "preview"),
    ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "Slackbot", "preview"),
    ("Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "UptimeRobot", "monitor"),
    (ANDROID + " CloudflareObservatory/1.0", "CloudflareObservatory", "monitor"),
    ("curl/8.5.0", "curl", "tool"),
    ("reqwest/0.12.4", "reqwest", "tool"),
    ("kube-probe/1.29", "kube-probe", "monitor"),
    ("GitHub-Camo (1234abcd)", "GitHub-Camo", "preview"),
    ("Mozilla/5.0 (compatible; Bravebot/1.0; +https://brave.com/bot)", "Bravebot", "search"),
    ("serpstatbot/1.0 (backlink tracking; curl/7.58.0; http://serpstatbot.com/)", "serpstatbot", "scraper"),
    ("hackney/1.6.6", "hackney", "tool"),
    (ANDROID.replace("Chrome/", "HeadlessChrome/"), "HeadlessChrome", "tool"),
    ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "AhrefsBot", "scraper"),
    ("CloudflareCheck (https://developers.cloudflare.com/security-center/)", "Cloudflare Security Center", "scraper"),
    (ANDROID + " by Siteimprove", "Siteimprove", "scraper"),
    # No rule names them: the class is what the words or the structure say.
    ("Canary FeedFetcher/1.0", OTHER_BOT, "feed"),
    ("Mozilla/5.0 (compatible; CanaryMonitor/1.0)", OTHER_BOT, "monitor"),
    ("Mozilla/5.0 (compatible; Canary/1.0)", OTHER_BOT, "scraper"),
    (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT[:-1]}; Canary) Chrome/142.0 Safari/537.36", OTHER_BOT, "scraper"),
    (ANDROID + " (+https://canary.example)", OTHER_BOT, "scraper"),
    (ANDROID + " (canary@example.org)", OTHER_BOT, "scraper"),
    (ANDROID + " (compatible; Canary)", OTHER_BOT, "scraper"),  # behind a browser's own name
    ("Mozilla/5.0 (compatible; Bard-AI/1.0; +https://canary.example/crawler)", OTHER_BOT, "AI"),
    ("Mozilla/5.0 (compatible; Canary/1.0; +https://canary.ai/)", OTHER_BOT, "AI"),
    (ANDROID + " canary2png/1.0", OTHER_BOT, "preview"),
    (ANDROID + " Canary-Scan/1.0", OTHER_BOT, "scraper"),
    (ANDROID.replace(" Mobile", "") + " CanaryFinder/1.0", OTHER_BOT, "scraper"),
    (ANDROID + " CanaryFinder/1.0 (+https://canary.example)", OTHER_BOT, "scraper"),
    ("Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; {})", OTHER_BOT, "scraper"),
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


# On a telephone and in Electron an app adds its name to the browser's: these words do not make it a program.
APPS = [
    "QRScanner/3.2", "SeoulMetro/2.1", "Museo/1.4", "RecipeFinder/5.0", "HouseHunter/2.2", "JobSeeker/3.0",
    "SymptomCheck/1.0", "PriceChecker/7.1", "Discovery/3.4", "Harvest/2.20", "ResearchGate/1.0", "FeedMe/3.8",
    "BabyMonitor/3.1", "HomeAutomation/2.3", "iRobot/7.12", "PhoneLookup/1.0", "Archive/2.0", "VideoDownloader/9.0",
    "MetalDetector/1.9", "CoinCollector/1.0", "Fetch/1.37", "SuperProxy/1.0", "Ping/2.0", "Uptime/3.0",
    "Fingerprint/2.1", "HomeInspector/4.0", "Preview/10.0", "ChatGPT/1.2025.100", "RSSReader/1.0",
]  # fmt: skip
PEOPLE += [f"{ANDROID} {app}" for app in APPS]
PEOPLE += [
    f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} TaskFinder/1.0 Chrome/142.0.0.0 Electron/39.0 Safari/537.36",
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Safari/605.1.15 Safari Technology Preview/180",
    "Mozilla/5.0 (Windows; U; Windows NT 5.1; en-AI; rv:1.9.2) Gecko/20100115 Firefox/3.6",  # Anguilla
    "Opera/9.80 (Windows NT 6.1; U; Edition Labs HTML5 Parser; en) Presto/2.7.62 Version/11.00",
    "SIE-S55/11 UP.Browser/6.1.0.5.c.2 (GUI) MMP/1.0 (Google WAP Proxy/1.0)",
    "Mozilla/4.0 (compatible; MSIE 5.5; Windows NT 5.0) via proxy gateway Something/1.23",
    "DuckDuckGo/3 CFNetwork/1494.0.7 Darwin/23.4.0",
    "NylasMail/2.0.32 (Macintosh; OS X 10.12.6)",
    "Airmail 1.3.1 rv:223 (Macintosh; Mac OS X 10.9.1; de_DE)",
    "VIZIO V506-J09 ViziOS/1.4.512.847.1 WatchFree/24.06.13.2 FancyPlayer/1.1.30-qa",
]


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
        ("Feedly/1.0 (12,345 subscribers)", 12_345),
        ("Feedly/1.0 (12,34 subscribers)", None),
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


def test_a_name_has_one_class() -> None:
    """So that `make renormalise`, which knows a bot by its name, says what was said at first."""
    agents = [agent for row in CRAWLER_USER_AGENTS_DATA for agent in row.get("instances", [])]
    for agent in (*agents, *(line[0] for line in CLASSED)):
        bot = BOTS.bot_of(agent)
        if bot is not None and bot.name != OTHER_BOT:
            assert bot.bot_class == BOTS.class_of(bot.name), agent
    assert BOTS.class_of(OTHER_BOT) is None


def test_what_is_left_out_of_the_packaged_list_is_in_it() -> None:
    names = {name_in(row["pattern"]) for row in CRAWLER_USER_AGENTS_DATA}
    assert set(DATA["crawler_list"]["leave_out"]) <= names


def test_a_word_stands_under_one_name() -> None:
    words = [word.lower() for bots in DATA["bots"].values() for words in bots.values() for word in words]
    assert sorted(set(words)) == sorted(words)
    names = [name for bots in DATA["bots"].values() for name in bots]
    assert sorted(set(names)) == sorted(names)
    assert set(DATA["bots"]) | set(DATA["words"]) | set(DATA["apps_words"]) <= set(CLASSES)


def test_a_word_counts_on_telephones_or_not() -> None:
    words = [word for table in ("words", "apps_words") for words in DATA[table].values() for word in words]
    assert sorted(set(words)) == sorted(words)


def test_a_name_reads_like_a_name() -> None:
    """Neither an address nor a version nor a pattern: letters, digits and a few signs."""
    assert [name for name in BOTS.names if not re.fullmatch(r"[\w.][\w .!'+&:-]{0,62}[\w!]", name)] == []
    assert [name for name in BOTS.names if re.search(r"/\d|://|@|[\\()\[\]{}]", name)] == []


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("[wW]get", "wget"), ("Googlebot\\/", "Googlebot"), ("Code\\/1\\.", "Code"), (";Owler", "Owler"),
        ("pinterest\\.com\\/bot", "pinterest.com"), ("collection@infegy\\.com", "infegy.com"), ("IDG\\/EU", "IDG EU"),
        ("SSL Labs \\(https:\\/\\/www\\.ssllabs\\.com", "SSL Labs"), ("^x$", "x"), ("\\/", OTHER_BOT),
    ],
)  # fmt: skip
def test_a_listed_pattern_is_made_readable(pattern: str, name: str) -> None:
    assert name_in(pattern) == name


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


@given(text=texts, frame=st.sampled_from([text for text, _, _ in CLASSED] + PEOPLE))
def test_nothing_of_a_text_reaches_the_name(text: str, frame: str) -> None:
    """Whoever sends hits cannot write into the database by a User-Agent: same rules, same names, any letters."""
    text = text.encode("utf-8", "replace").decode()
    for agent in (
        f"{frame} {text}",
        f"{text} {frame}",
        f"{text}bot/1.0 (+https://{text}.example; {text}@example.org)",
    ):
        bot = BOTS.bot_of(agent)
        if bot is not None:
            assert bot.name in BOTS.names
    marked = BOTS.bot_of(f"{frame} zqxj{text}@zqxj.example zqxj")
    assert marked is None or "zqxj" not in str(marked)
