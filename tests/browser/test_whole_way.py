"""The whole way from a real browser: a page is opened, and its row and its number appear.

Everything runs: the browser, ``make run`` with all its parts. Each test has a path of its own, so that the
stack may be shared.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.system.stack import Stack

from .devtools import Browser, Tab
from .rows import free_name, rows
from .web import Pages, page

pytestmark = pytest.mark.system

ROW = """
    select host, path, title, event, referrer, source, channel, screen, language, browser, os, device,
           is_bot, is_me, session_id is not null as has_session
    from hits where site = %s and path = %s order by received_at
"""
SESSIONS = "select distinct session_id from hits where site = %s"


@pytest.fixture
def pixel(stack: Stack) -> Callable[[str], str]:
    """Addresses of the stack's pixel, under a name of the world."""
    port = stack.pixel_url.rsplit(":", 1)[1].strip("/")
    return lambda path: f"http://pixel.example:{port}{path}"


async def wide(tab: Tab) -> Tab:
    """The tab, on a screen of 1920x1080."""
    await tab.send("Emulation.setDeviceMetricsOverride", width=800, height=600, screenWidth=1920,
                   screenHeight=1080, deviceScaleFactor=1, mobile=False)  # fmt: skip
    return tab


EXPECTED = {
    "event": "pageview",
    "browser": "Chrome",
    "os": "Linux",
    "device": "desktop",
    "is_bot": False,
    "is_me": False,
    "has_session": True,
    "language": "en-US",
}


async def test_the_tracker(tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]) -> None:
    name, host = free_name(), f"{free_name('tracker')}.example"
    site.put("/links", page(body=f'<a id="link" href="{site.url(f"/{name}?page=2&secret=y", host)}">on</a>'))
    policy = f"default-src 'none'; script-src {pixel('')}; connect-src {pixel('')}"
    site.put(
        f"/{name}", page(title="Tracked — ja", head=f'<script defer src="{pixel("/a.js")}"></script>'), policy
    )
    await wide(tab)
    await tab.open(site.url("/links", "news.example"))
    await tab.follow("link.click()")
    (row,) = await rows(stack, ROW, host, f"/{name}")
    assert row == EXPECTED | {
        "host": host,
        "path": f"/{name}",
        "title": "Tracked — ja",
        "referrer": "http://news.example/",
        "source": "news.example",
        "channel": "Referral",
        "screen": "1920x1080",
    }
    (day,) = await rows(
        stack, "select path, title, pageviews, visitors from daily_pages where site = %s", host
    )
    assert day == {"path": f"/{name}", "title": "Tracked — ja", "pageviews": 1, "visitors": 1}
    (query,) = await rows(stack, "select query from hits where site = %s", host)
    assert query == {"query": "page=2"}
    assert not tab.errors


async def test_a_bare_image_without_javascript(
    tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]
) -> None:
    name, host = free_name(), f"{free_name('image')}.example"
    image = f'<img src="{pixel("/a.gif")}" referrerpolicy="no-referrer-when-downgrade" alt="">'
    site.put(f"/{name}", page(title="Nobody says", body=image))
    await tab.send("Emulation.setScriptExecutionDisabled", value=True)
    await tab.open(site.url(f"/{name}", host))
    (row,) = await rows(stack, ROW, host, f"/{name}")
    assert row == EXPECTED | {
        "host": host,
        "path": f"/{name}",
        "title": None,
        "referrer": None,
        "source": None,
        "channel": "Direct",
        "screen": None,
    }
    (day,) = await rows(
        stack, "select path, title, pageviews, visitors from daily_pages where site = %s", host
    )
    assert day == {"path": f"/{name}", "title": None, "pageviews": 1, "visitors": 1}


async def test_the_first_systems_snippet(
    tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]
) -> None:
    name, host = free_name(), f"{free_name('snippet')}.example"
    snippet = (
        "const url = location.href, referrer = document.referrer, title = document.title;\n"
        f'window.answer = fetch("{pixel("/a.gif")}?" + new URLSearchParams({{url, referrer, title}}), '
        '{credentials: "include"})'
    )
    site.put(f"/{name}", page(title="Old & true", body=f"<script>{snippet}</script>"))
    await tab.open(site.url(f"/{name}", host))
    read = "window.answer.then(answer => [answer.status, answer.type])"
    assert await tab.evaluate(read) == [200, "cors"], "the page cannot read the answer: CORS"
    (row,) = await rows(stack, ROW, host, f"/{name}")
    assert row == EXPECTED | {
        "host": host,
        "path": f"/{name}",
        "title": "Old & true",
        "referrer": None,
        "source": None,
        "channel": "Direct",
        "screen": None,
    }
    (day,) = await rows(
        stack, "select path, title, pageviews, visitors from daily_pages where site = %s", host
    )
    assert day == {"path": f"/{name}", "title": "Old & true", "pageviews": 1, "visitors": 1}


async def test_one_browser_is_one_visitor_whichever_way_it_counts(
    tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]
) -> None:
    host = f"{free_name('visitor')}.example"
    site.put("/", page(title="Start", head=f'<script defer src="{pixel("/a.js")}"></script>'))
    site.put(
        "/image", page(body=f'<img src="{pixel("/a.gif")}" referrerpolicy="no-referrer-when-downgrade">')
    )
    site.put("/other", page(title="Other", head=f'<script defer src="{pixel("/a.js")}"></script>'))
    for path in ("/", "/image", "/other", "/"):
        await tab.open(site.url(path, host))
    assert len(await rows(stack, "select 1 as one from hits where site = %s", host, number=4)) == 4
    (session,) = await rows(stack, SESSIONS, host)
    assert session["session_id"] is not None
    counted = "select pageviews, visitors from daily_traffic where site = %s and pageviews = 4"
    assert await rows(stack, counted, host) == [{"pageviews": 4, "visitors": 1}]
    # The same browser on another site is somebody else.
    await tab.open(site.url("/", f"other-{host}"))
    (elsewhere,) = await rows(stack, SESSIONS, f"other-{host}")
    assert elsewhere["session_id"] not in {None, session["session_id"]}


async def test_the_owner_leaves_out_their_own_visits(
    tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]
) -> None:
    # Over plain HTTP a cookie travels within one domain only: the counter is a subdomain of the site.
    host = f"{free_name('owner')}.example"
    counter = pixel("").replace("pixel.example", f"stats.{host}")
    site.put("/", page(title="Mine", head=f'<script defer data-owner src="{counter}/a.js"></script>'))
    await tab.open(f"{counter}/me")
    assert "counted like everybody" in await tab.evaluate("document.body.innerText")
    await tab.follow("document.querySelector('button').click()")
    assert "left out of the figures" in await tab.evaluate("document.body.innerText")
    await tab.open(site.url("/", host))
    (row,) = await rows(stack, ROW, host, "/")
    assert row["is_me"] is True
    traffic = "select pageviews, visitors, owner_hits from daily_traffic where site = %s"
    assert await rows(stack, traffic, host) == [{"pageviews": 0, "visitors": 0, "owner_hits": 1}]
    await tab.open(f"{counter}/me")
    await tab.follow("document.querySelector('button').click()")
    assert "counted like everybody" in await tab.evaluate("document.body.innerText")


async def test_the_pages_show_in_a_browser_under_their_own_policy(
    tab: Tab, pixel: Callable[[str], str]
) -> None:
    for path, words in (("/", "Not recorded"), ("/privacy/", "What is recorded"), ("/me", "Is this you?")):
        await tab.open(pixel(path))
        assert words in await tab.evaluate("document.body.innerText")
        width = await tab.evaluate("getComputedStyle(document.body).maxWidth")
        assert re.fullmatch(r"[0-9.]+px", width), "the style was refused"
        asked = {url for url in tab.requests if not url.endswith("/favicon.ico")}
        assert all(url.startswith(pixel("/")) for url in asked)
    assert not tab.errors


async def test_a_local_page_leaves_no_row(
    browser: Browser, site: Pages, stack: Stack, pixel: Callable[[str], str]
) -> None:
    name, host = free_name(), f"{free_name('world')}.example"
    site.put(f"/{name}", page(head=f'<script defer src="{pixel("/a.js")}"></script>'))
    tab = await browser.new_tab()
    await tab.open(site.url(f"/{name}", "localhost"))
    await tab.open(site.url(f"/{name}", "laptop.test"))
    await tab.open(site.url(f"/{name}", host))  # the last one counts: what came before it would be there too
    await rows(stack, "select 1 as one from hits where site = %s", host)
    found = await rows(stack, "select host from hits where path = %s", f"/{name}")
    assert found == [{"host": host}]
