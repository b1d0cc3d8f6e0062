"""Where a hit came from: a name and a channel."""

from __future__ import annotations

import tomllib
from collections import Counter
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.enricher.agents import Agents
from services.enricher.enrich import Enricher
from services.enricher.renormalise import rules_of
from services.enricher.rewrite import Rule
from services.enricher.sources import SOURCES_FILE, SourceList, Sources, key_of, sources_of
from services.sites import Sites
from tests.make import NOW, make_raw_hit, make_settings
from tests.strategies import wild_texts

CHANNELS = {"Direct", "Search", "Social", "News", "Email", "AI", "Referral", "Campaign"}
SETTINGS = make_settings(SITES="blog.example, shop.example=blog.example, other.example")
SOURCES = Sites(SETTINGS.sites)
FIND = Sources(SOURCES.site_of)
DIRECT = (None, "Direct")


class NoSessions:
    """Session keys that are destroyed."""

    def session_id(self, *_: Any) -> None:
        return None


AGENTS = Agents()
NO_SESSIONS = NoSessions()


def nowhere(_: str) -> None:
    return None


def source_of(referrer: str = "", **query: str) -> tuple[str | None, str]:
    """Source and channel of a hit of www.blog.example."""
    source = FIND.source_of("blog.example", "www.blog.example", query, referrer)
    return source.name, source.channel


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
        ("https://docs.google.com/", ("Google Docs", "Referral")),
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
        ("android-app://com.google.android.gm/", ("Gmail", "Email")),
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
        ({"utm_source": "x"}, ("X", "Social")),
        ({"utm_source": "google"}, ("Search", "Search")),
        ({"utm_source": "chatgpt.com"}, ("ChatGPT", "AI")),
        ({"utm_source": "friend.example"}, ("friend.example", "Referral")),
        ({"utm_source": "https://www.friend.example/x"}, ("friend.example", "Referral")),
        ({"utm_source": "newsletter"}, ("Newsletter", "Email")),
        ({"utm_source": "my letter"}, ("my letter", "Referral")),
        ({"ref": "producthunt"}, ("Product Hunt", "News")),
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
    if "utm_source" in query and expected[0]:
        assert source_of("https://friend.example/", **query) == expected, "it beats the referrer"


def test_a_link_within_the_site_names_no_source() -> None:
    own = "https://www.blog.example/other"
    assert source_of(own, source="menu") == (None, "Direct")
    assert source_of(own, utm_source="menu") == ("menu", "Referral"), "a campaign's tag is meant"


def test_a_campaign_keeps_the_referrer_s_source() -> None:
    assert source_of("https://www.google.com/", utm_campaign="spring") == ("Search", "Campaign")


# Modern referrers, with what each is: referrer, query of the page, source, channel, detail.
KNOWN = [
    ("https://www.google.com/", "", "Search", "Search", "Google"),
    ("https://www.google.co.uk/", "", "Search", "Search", "Google"),
    ("https://google.com.br/", "", "Search", "Search", "Google"),
    ("https://www.google.com/search?q=x", "", "Search", "Search", "Google"),
    ("https://images.google.de/", "", "Search", "Search", "Google"),
    (
        "https://www.google.com/url?sa=t&source=web&url=https%3A%2F%2Fwww.blog.example%2Fpost",
        "",
        "Search",
        "Search",
        "Google",
    ),
    ("https://www.bing.com/", "", "Search", "Search", "Bing"),
    ("https://cn.bing.com/", "", "Search", "Search", "Bing"),
    ("https://duckduckgo.com/", "", "Search", "Search", "DuckDuckGo"),
    ("https://html.duckduckgo.com/", "", "Search", "Search", "DuckDuckGo"),
    ("https://r.search.yahoo.com/_ylt=x", "", "Search", "Search", "Yahoo"),
    ("https://de.search.yahoo.com/", "", "Search", "Search", "Yahoo"),
    ("https://search.yahoo.co.jp/", "", "Search", "Search", "Yahoo"),
    ("https://yandex.ru/", "", "Search", "Search", "Yandex"),
    ("https://yandex.com.tr/", "", "Search", "Search", "Yandex"),
    ("https://ya.ru/", "", "Search", "Search", "Yandex"),
    ("https://www.baidu.com/link?url=x", "", "Search", "Search", "Baidu"),
    ("https://www.ecosia.org/", "", "Search", "Search", "Ecosia"),
    ("https://search.brave.com/", "", "Search", "Search", "Brave"),
    ("https://kagi.com/", "", "Search", "Search", "Kagi"),
    ("https://www.startpage.com/", "", "Search", "Search", "Startpage"),
    ("https://www.qwant.com/", "", "Search", "Search", "Qwant"),
    ("https://search.naver.com/", "", "Search", "Search", "Naver"),
    ("https://www.sogou.com/", "", "Search", "Search", "Sogou"),
    ("https://www.so.com/", "", "Search", "Search", "360 Search"),
    ("https://m.sm.cn/", "", "Search", "Search", "Shenma"),
    ("https://search.seznam.cz/", "", "Search", "Search", "Seznam"),
    ("https://searx.be/", "", "Search", "Search", "SearXNG"),
    ("https://searxng.friend.org/", "", "Search", "Search", "SearXNG"),
    ("https://yep.com/", "", "Search", "Search", "Yep.com"),
    ("https://stract.com/", "", "Search", "Search", "Stract"),
    ("https://karmasearch.org/", "", "Search", "Search", "Karma Search"),
    ("android-app://com.google.android.googlequicksearchbox/", "", "Search", "Search", "Google"),
    ("https://scholar.google.com/", "", "Search", "Search", "Google"),
    ("https://docs.google.com/document/d/x/edit", "", "Google Docs", "Referral", None),
    ("https://console.cloud.google.com/", "", "console.cloud.google.com", "Referral", None),
    ("https://news.google.com/", "", "Google News", "News", None),
    ("https://news.google.co.uk/", "", "Google News", "News", None),
    ("https://finance.yahoo.com/", "", "Yahoo News", "News", None),
    ("https://google.abc.com/", "", "google.abc.com", "Referral", None),
    ("https://mygoogle.com/", "", "mygoogle.com", "Referral", None),
    ("https://l.facebook.com/l.php?u=x", "", "Facebook", "Social", None),
    ("https://lm.facebook.com/", "", "Facebook", "Social", None),
    ("https://m.facebook.com/", "", "Facebook", "Social", None),
    ("", "fbclid=IwAR0", "Facebook", "Social", None),
    ("https://t.co/abc", "", "X", "Social", None),
    ("https://x.com/", "", "X", "Social", None),
    ("https://nitter.privacydev.net/", "", "X", "Social", None),
    ("android-app://com.twitter.android/", "", "X", "Social", None),
    ("https://bsky.app/", "", "Bluesky", "Social", None),
    ("https://go.bsky.app/", "", "Bluesky", "Social", None),
    ("https://l.instagram.com/", "", "Instagram", "Social", None),
    ("https://l.threads.com/", "", "Threads", "Social", None),
    ("https://www.linkedin.com/", "", "LinkedIn", "Social", None),
    ("https://lnkd.in/x", "", "LinkedIn", "Social", None),
    ("android-app://com.linkedin.android/", "", "LinkedIn", "Social", None),
    ("https://www.youtube.com/", "", "YouTube", "Social", None),
    ("https://invidious.fdn.fr/", "", "YouTube", "Social", None),
    ("https://www.tiktok.com/", "", "TikTok", "Social", None),
    ("https://at.pinterest.com/", "", "Pinterest", "Social", None),
    ("https://www.pinterest.co.uk/", "", "Pinterest", "Social", None),
    ("https://away.vk.com/", "", "VK", "Social", None),
    ("https://weibo.cn/", "", "Weibo", "Social", None),
    ("https://www.zhihu.com/", "", "Zhihu", "Social", None),
    ("https://old.reddit.com/r/x", "", "Reddit", "Social", None),
    ("https://out.reddit.com/t3_x", "", "Reddit", "Social", None),
    ("https://redlib.catsarch.com/", "", "Reddit", "Social", None),
    ("android-app://com.reddit.frontpage/", "", "Reddit", "Social", None),
    ("https://mastodon.social/", "", "Mastodon", "Social", None),
    ("https://fosstodon.org/", "", "Mastodon", "Social", None),
    ("https://mstdn.ca/", "", "Mastodon", "Social", None),
    ("https://mastodon.friend.org/", "", "Mastodon", "Social", None),
    ("https://social.friend.org/@jane/112233445566778899", "", "Mastodon", "Social", None),
    ("android-app://org.joinmastodon.android/", "", "Mastodon", "Social", None),
    ("https://infosec.exchange/", "", "Mastodon", "Social", None),
    ("https://misskey.io/", "", "Misskey", "Social", None),
    ("https://pixelfed.social/", "", "Pixelfed", "Social", None),
    ("https://lemmy.world/post/1", "", "Lemmy", "Social", None),
    ("https://programming.dev/", "", "Lemmy", "Social", None),
    ("https://news.ycombinator.com/", "", "Hacker News", "News", None),
    ("https://hn.algolia.com/", "", "Hacker News", "News", None),
    ("https://hckrnews.com/", "", "Hacker News", "News", None),
    ("android-app://io.github.hidroh.materialistic/", "", "Hacker News", "News", None),
    ("https://www.daemonology.net/hn-daily/", "", "Hacker News", "News", None),
    ("https://lobste.rs/", "", "Lobsters", "News", None),
    ("https://tildes.net/", "", "Tildes", "News", None),
    ("https://www.techmeme.com/", "", "Techmeme", "News", None),
    ("https://feedly.com/", "", "Feedly", "News", None),
    ("https://www.inoreader.com/", "", "Inoreader", "News", None),
    ("https://newsblur.com/", "", "NewsBlur", "News", None),
    ("https://miniflux.friend.org/", "", "Miniflux", "News", None),
    ("https://flipboard.com/", "", "Flipboard", "News", None),
    ("https://apple.news/", "", "Apple News", "News", None),
    ("https://ntp.msn.com/", "", "Microsoft Start", "News", None),
    ("https://mail.google.com/", "", "Gmail", "Email", None),
    ("android-app://com.google.android.gm/", "", "Gmail", "Email", None),
    ("https://outlook.live.com/", "", "Outlook", "Email", None),
    ("https://nam01.safelinks.protection.outlook.com/?url=x", "", "Outlook", "Email", None),
    ("https://mail.yahoo.com/", "", "Yahoo Mail", "Email", None),
    ("https://mail.proton.me/", "", "Proton Mail", "Email", None),
    ("https://deref-gmx.net/", "", "GMX Mail", "Email", None),
    ("https://webmail.friend.org/", "", "Webmail", "Email", None),
    ("https://mail.qq.com/", "", "QQ Mail", "Email", None),
    ("https://e.mail.ru/", "", "Mail.ru Mail", "Email", None),
    ("https://author.substack.com/", "", "Substack", "Email", None),
    ("", "utm_source=substack&utm_medium=email", "Substack", "Email", None),
    ("", "mc_cid=abc&mc_eid=def", "Newsletter", "Email", "Mailchimp"),
    ("", "_hsmi=123&_hsenc=p2A", "Newsletter", "Email", "HubSpot"),
    ("https://mail.google.com/", "mc_cid=abc", "Newsletter", "Email", "Mailchimp"),
    ("", "utm_source=letter&utm_medium=email", "letter", "Email", None),
    ("", "utm_medium=newsletter&utm_source=friend.example", "friend.example", "Email", None),
    ("https://us1.campaign-archive.com/", "", "Newsletter", "Email", "Mailchimp"),
    ("https://chatgpt.com/", "", "ChatGPT", "AI", None),
    ("", "utm_source=chatgpt.com", "ChatGPT", "AI", None),
    ("https://www.perplexity.ai/", "", "Perplexity", "AI", None),
    ("https://claude.ai/", "", "Claude", "AI", None),
    ("https://copilot.microsoft.com/", "", "Copilot", "AI", None),
    ("https://copilot.cloud.microsoft/", "", "Copilot", "AI", None),
    ("https://gemini.google.com/", "", "Gemini", "AI", None),
    ("https://grok.com/", "", "Grok", "AI", None),
    ("https://x.com/i/grok", "", "Grok", "AI", None),
    ("https://chat.mistral.ai/", "", "Le Chat", "AI", None),
    ("https://chat.deepseek.com/", "", "DeepSeek", "AI", None),
    ("https://duck.ai/", "", "Duck.ai", "AI", None),
    ("https://kagi.com/assistant", "", "Kagi Assistant", "AI", None),
    ("https://www.doubao.com/", "", "Doubao", "AI", None),
    ("https://www.meta.ai/", "", "Meta AI", "AI", None),
    ("https://app.slack.com/", "", "Slack", "Social", None),
    ("android-app://com.Slack/", "", "Slack", "Social", None),
    ("https://discord.com/", "", "Discord", "Social", None),
    ("https://teams.microsoft.com/", "", "Microsoft Teams", "Social", None),
    ("https://web.telegram.org/", "", "Telegram", "Social", None),
    ("android-app://org.telegram.messenger/", "", "Telegram", "Social", None),
    ("https://web.whatsapp.com/", "", "WhatsApp", "Social", None),
    ("https://statics.teams.cdn.office.net/", "", "Microsoft Teams", "Social", None),
    ("https://github.com/", "", "GitHub", "Referral", None),
    ("https://codeberg.org/", "", "Codeberg", "Referral", None),
    ("https://stackoverflow.com/", "", "Stack Overflow", "Referral", None),
    ("https://en.wikipedia.org/", "", "Wikipedia", "Referral", None),
    ("https://www.notion.so/", "", "Notion", "Referral", None),
    ("https://friend.sharepoint.com/", "", "SharePoint", "Referral", None),
    ("https://www.google.com/", "utm_source=Hacker-News", "Hacker News", "News", None),
    ("", "ref=producthunt", "Product Hunt", "News", None),
    ("", "via=lobsters", "Lobsters", "News", None),
    ("", "ref=friend.example", "friend.example", "Referral", None),
    ("", "utm_source=twitter&utm_medium=social", "X", "Social", None),
    ("", "utm_source=google&utm_medium=cpc", "Search", "Campaign", "Google"),
    ("https://www.google.com/", "gclid=abc", "Search", "Campaign", "Google"),
    ("", "gclid=abc", "Search", "Campaign", "Google"),
    ("", "utm_source=google&utm_medium=organic", "Search", "Search", "Google"),
    ("https://friend.example/", "utm_source=(direct)", "friend.example", "Referral", None),
    ("https://www.blog.example/", "source=menu", None, "Direct", None),
    ("https://friend-example.translate.goog/", "", "friend.example", "Referral", None),
    ("https://www-blog-example.translate.goog/post", "", None, "Direct", None),
    (
        "https://friend-example.cdn.ampproject.org/c/s/friend.example/x",
        "",
        "friend.example",
        "Referral",
        None,
    ),
    ("https://www.google.com/amp/s/friend.example/x", "", "friend.example", "Referral", None),
    ("https://cdn.ampproject.org/c/s/www.reddit.com/r/x", "", "Reddit", "Social", None),
    ("https://translate.google.com/", "", "Google Translate", "Referral", None),
    ("http://intranet/wiki", "", None, "Direct", None),
    ("http://nas.lan/", "", None, "Direct", None),
    ("http://8.8.8.8/", "", None, "Direct", None),
    ("http://[::1]:3000/", "", None, "Direct", None),
    ("about:blank", "", None, "Direct", None),
    ("https%3A%2F%2Fwww.google.com%2F", "", "Search", "Search", "Google"),
    ("http://ex ample.com/", "", "ex ample.com", "Referral", None),
    ("some words", "", "some words", "Referral", None),
    ("www.friend.example", "", "friend.example", "Referral", None),
    ("//friend.example/x", "", "friend.example", "Referral", None),
]


@pytest.mark.parametrize(("referrer", "query", "name", "channel", "detail"), KNOWN)
def test_a_modern_referrer_is_known(
    referrer: str, query: str, name: str | None, channel: str, detail: str | None
) -> None:
    hit = Enricher(SETTINGS, AGENTS, FIND, nowhere, NO_SESSIONS).enrich(
        make_raw_hit(url=f"https://www.blog.example/post?{query}", referrer=referrer), NOW
    )
    assert (hit.source, hit.channel, hit.source_detail) == (name, channel, detail)


# Referrer, query, source, channel: what looks like something else.
ODD = [
    # Tags beat a header that names nobody.
    ("http://intranet/wiki", "ref=producthunt", "Product Hunt", "News"),
    ("http://localhost:3000/", "source=hackernews", "Hacker News", "News"),
    ("about:blank", "ref=friend.example", "friend.example", "Referral"),
    ("http://webmail/", "mc_cid=1", "Newsletter", "Email"),
    # Tags that name nobody do not.
    ("https://www.google.com/", "ref=1.2", "Search", "Search"),
    ("https://mail.google.com/", "ref=www.blog.example", "Gmail", "Email"),
    ("https://www.google.com/", "ref=localhost", "Search", "Search"),
    ("https://www.google.com/", "ref=http://localhost:3000", "Search", "Search"),
    ("https://www.google.com/", "ref=https://localhost/p?token=secret", "Search", "Search"),
    ("https://www.google.com/", "ref=-&source=.&via=%E2%80%8B", "Search", "Search"),
    ("https://www.google.com/", "utm_source=(direct)&utm_medium=(none)", "Search", "Search"),
    ("", "utm_source=undefined&utm_medium=undefined&utm_campaign=undefined", None, "Direct"),
    ("", "utm_medium=null", None, "Direct"),
    ("", "utm_source=x&utm_medium=Email-Newsletter", "X", "Email"),
    ("", "utm_source=x&utm_medium=e_newsletter", "X", "Email"),
    ("", "ref=android-app://com.slack", "Slack", "Social"),
    # Texts that are no source.
    ("null", "", None, "Direct"),
    ("undefined", "", None, "Direct"),
    ("(direct)", "", None, "Direct"),
    ("localhost", "", None, "Direct"),
    ("localhost:3000", "", None, "Direct"),
    ("http:", "", None, "Direct"),
    ("/about", "", None, "Direct"),
    ("tel:+41791234567", "", None, "Direct"),
    ("mailto:a@friend.example", "", None, "Direct"),
    ("android-app://", "", None, "Direct"),
    ("http://:80/", "", None, "Direct"),
    ("http%3a%2f%2f%3a80", "", None, "Direct"),
    ("https://www.google.com/", "utm_source=http://:80", "Search", "Search"),
    # Names with odd letters.
    ("", "utm_source=facebook:ad", "facebook:ad", "Referral"),
    ("", "utm_source=launch:2024", "launch:2024", "Referral"),
    ("", "utm_source=R%26D", "R&D", "Referral"),
    ("", "utm_source=%23launch", "#launch", "Referral"),
    ("", "utm_source=q3;newsletter", "q3;newsletter", "Email"),
    ("friend.example:8080/x", "", "friend.example", "Referral"),
    ("Note: a text", "", "Note: a text", "Referral"),
    # What follows a name is not part of it.
    ("", "ref=a;gclid=secret", "a", "Referral"),
    ("", "ref=x%26gclid%3Dsecret", "X", "Social"),
    # Other people's hosts.
    ("https://mail.co.uk/", "", "mail.co.uk", "Referral"),
    ("https://mail.python.org/", "", "Mailing lists", "Referral"),
    ("https://mail.friend.example/", "", "Webmail", "Email"),
    ("https://reader.elsevier.com/", "", "reader.elsevier.com", "Referral"),
    ("https://element.eleme.io/", "", "element.eleme.io", "Referral"),
    ("https://yandex.cloud/", "", "yandex.cloud", "Referral"),
    ("https://gmx.io/", "", "gmx.io", "Referral"),
    ("https://www.google.org/", "", "google.org", "Referral"),
    ("https://www.google.evil.example/", "", "google.evil.example", "Referral"),
    ("https://google.com.evil.example/", "", "google.com.evil.example", "Referral"),
    ("https://notgoogle.com/", "", "notgoogle.com", "Referral"),
    ("https://www.com/", "", "www.com", "Referral"),
    ("https://friend.example/notice/announcementforyou", "", "friend.example", "Referral"),
    ("https://friend.example/notice/AjGvn8xcZp2Kd7m1Q4", "", "Pleroma", "Social"),
    ("https://platform.openai.com/docs", "", "platform.openai.com", "Referral"),
    ("https://chat.openai.com/", "", "ChatGPT", "AI"),
    ("https://docs.claude.com/", "", "docs.claude.com", "Referral"),
    ("https://www.gmx.net/magazine/", "", "GMX Magazine", "News"),
    ("https://mastodon.art/", "", "Mastodon", "Social"),
]


@pytest.mark.parametrize(("referrer", "query", "name", "channel"), ODD)
def test_what_looks_like_something_else_is_not(
    referrer: str, query: str, name: str | None, channel: str
) -> None:
    hit = Enricher(SETTINGS, AGENTS, FIND, nowhere, NO_SESSIONS).enrich(
        make_raw_hit(url=f"https://www.blog.example/post?{query}", referrer=referrer), NOW
    )
    assert (hit.source, hit.channel) == (name, channel)
    assert "secret" not in f"{hit.source} {hit.referrer} {hit.link_tag}"


@pytest.mark.parametrize(
    "referrer",
    [
        "https%253A%252F%252Ffriend.example%252Fp%253Fq%253Dsecret",
        " https%3A%2F%2Ffriend.example%2Fp%3Fq%3Dsecret",
        "friend.example%2Fp%3Fq%3Dsecret",
        "friend.example/p?q=secret",
        "android-app://friend.example/p%3Fq=secret",
        "friend.example%2525253Fq%3Dsecret",
    ],
)
def test_a_query_is_not_kept_however_often_it_is_encoded(referrer: str) -> None:
    hit = Enricher(SETTINGS, AGENTS, FIND, nowhere, NO_SESSIONS).enrich(make_raw_hit(referrer=referrer), NOW)
    assert hit.source == "friend.example"
    assert "secret" not in str(hit)


LIST = tomllib.loads(SOURCES_FILE.read_text())
ROWS = [(channel, row) for channel, rows in LIST["channels"].items() for row in rows]


@pytest.mark.parametrize("field", ["hosts", "apps", "names", "tags", "ad_tags"])
def test_a_thing_stands_once(field: str) -> None:
    things = Counter(thing for _, row in ROWS for thing in row.get(field, ()))
    assert [thing for thing, number in things.items() if number > 1] == []


def test_a_host_is_in_one_group_only_and_there_are_many() -> None:
    hosts = Counter(host.lstrip("=") for _, row in ROWS for host in row.get("hosts", ()))
    shared = {host for host, number in hosts.items() if number > 1}
    assert shared == set()
    assert len(hosts) >= 300


def test_a_host_does_not_stand_beside_one_that_covers_it() -> None:
    for _, row in ROWS:
        hosts = {host for host in row.get("hosts", ()) if not set(host) & set("=/*")}
        parents = {host: host.split(".")[1:] for host in hosts}
        covered = [
            h for h, rest in parents.items() if any(".".join(rest[n:]) in hosts for n in range(len(rest)))
        ]
        assert covered == []


def test_a_name_means_one_source() -> None:
    names = Counter(
        name for _, row in ROWS for name in {key_of(row["name"]), *map(key_of, row.get("names", ()))}
    )
    assert [name for name, number in names.items() if number > 1] == []
    assert not {key_of(name) for name in LIST["nothing"]["names"]} & set(names)


RULES = SourceList()


def examples(entry: str) -> list[str]:
    """Hosts and paths that an entry of the list must cover."""
    host, _, path = entry.removeprefix("=").partition("/")
    if host.endswith(".**"):
        return [host[:-2] + "friend.example", "www." + host[:-2] + "friend.example"]
    if host.endswith(".any"):
        return [host[:-3] + ending for ending in ("social", "de", "cloud")]
    hosts = [host.replace(".*", ending) for ending in (".de", ".com", ".co.uk")] if "*" in host else [host]
    return [
        f"{start}{name}/{path}" for name in hosts for start in (["", "www."] if host.count(".") < 3 else [""])
    ]


@pytest.mark.parametrize(("channel", "row"), ROWS, ids=[row["name"] for _, row in ROWS])
def test_a_line_is_found_by_every_host_name_and_app(channel: str, row: dict[str, Any]) -> None:
    assert channel in CHANNELS - {"Direct", "Campaign"}
    assert set(row) <= {"name", "of", "hosts", "apps", "names", "tags", "ad_tags", "paths"}
    whole = row.get("of", "Search" if channel == "Search" else None)
    expected = (whole or row["name"], channel, row["name"] if whole else None)
    for entry in row.get("hosts", ()):
        assert entry == entry.lower().strip()
        for example in examples(entry):
            host, _, path = example.partition("/")
            found = RULES.of_host(host, "/" + path)
            # A line of its own may stand for one country's: pinterest.com, toot.io.
            assert found == expected, (entry, example)
    for name in (row["name"], *row.get("names", ())):
        assert RULES.of_name(name.upper()) == expected
    for app in row.get("apps", ()):
        assert RULES.of_app(app) == expected


hosts = st.sampled_from([entry for _, row in ROWS for entry in row.get("hosts", ()) if entry[0] != "="])


@given(entry=hosts, before=st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True))
def test_a_host_that_only_ends_like_a_known_one_is_another(entry: str, before: str) -> None:
    host = entry.partition("/")[0].replace(".**", ".friend.example").replace(".*", ".de")
    stranger = before + host
    found = RULES.of_host(stranger)
    assert found is None or found == RULES.of_host("www." + stranger)


@given(
    referrer=wild_texts | wild_texts.map("https://".__add__),
    query=st.dictionaries(
        st.sampled_from(["utm_source", "utm_medium", "utm_campaign", "ref", "via"]), wild_texts
    ),
    tag=st.sampled_from([None, *FIND.tags, "other"]),
)
def test_any_hit_has_a_channel_of_the_closed_set(
    referrer: str, query: dict[str, str], tag: str | None
) -> None:
    name, channel, detail = FIND.source_of("blog.example", "www.blog.example", query, referrer, tag)
    assert channel in CHANNELS
    assert name is None or 0 < len(name) <= 128
    assert detail is None or name


# Values that were redacted, encoded, addresses, names, and anything.
values = wild_texts | st.sampled_from(
    ["hackernews", "newsletter", "(none)", "email", "www.friend.example", "https://friend.example/?t=1#a", "1.2",
     "a1b2c3d4" * 4, "jane@mail.example", "jane%2540mail.example", "android-app://com.slack", "a%26b=c", "a;b", "…"]
)  # fmt: skip
names = st.sampled_from(
    ["utm_source", "UTM_Medium", "utm_campaign", "ref", "source", "via", "q", "mc_cid", "gclid"]
)
queries = st.lists(st.tuples(names, values, st.sampled_from([str, quote, quote_plus])), max_size=5).map(
    lambda parts: "&".join(
        f"{name}={write(value.encode(errors='replace').decode())}" for name, value, write in parts
    )
)
referrers = st.sampled_from(
    ["", "https://www.google.com/", "https://www.blog.example/a", "https://blog.example.translate.goog/", "http://[::1]/",
     "https://" + "a1b2c3d4" * 4 + ".blog.example/", "https%3A%2F%2Ffriend.example%2F%3Fq%3D1", "some words", "null"]
) | values | st.tuples(
    st.sampled_from(["https://friend.example/p?", "https://www.google.com/url?"]), queries
).map("".join)  # fmt: skip
WORLDS = [
    make_settings(**world)
    for world in ({}, {"SITES": "blog.example, shop.example=blog.example"}, {"REDACT": "off"}, {"HASH_ROUTING": "on"},
                  {"QUERY_PARAMETERS": "q"})
]  # fmt: skip
READERS = [
    (Enricher(world, AGENTS, sources_of(world), nowhere, NO_SESSIONS), rules_of(world)) for world in WORLDS
]


@given(
    reader=st.sampled_from(READERS),
    query=queries,
    referrer=referrers,
    user_agent=st.sampled_from(
        ["", "Googlebot/2.1", "some spider", "Feedly/1.0 (+http://feedly.com; 7 subscribers)"]
    )
    | wild_texts.map(lambda text: text[:1024]),
    language=st.sampled_from(["", "de-CH-1996", "zh_Hant_TW", "*", "q=0"]),
    screen=st.sampled_from(["", "1903x1071", "844x390", "0x0", "1x99999"]),
)
def test_what_is_stored_gives_the_same_answers_again(
    reader: tuple[Enricher, tuple[Rule, ...]], query: str, referrer: str, **client: str
) -> None:
    """So that new rules can be run over history, and the same rules change nothing."""
    enricher, rules = reader
    raw = make_raw_hit(
        url=f"https://www.blog.example/p?{query}"[:2048], referrer=referrer[:2048].replace("\0", ""), **client
    )
    hit = enricher.enrich(raw, NOW)
    for rule in rules:
        stored = tuple(getattr(hit, name) for name in rule.inputs)
        said = tuple(getattr(hit, name) for name in rule.outputs)
        assert rule.answer(hit.site, stored) == said, rule.number
