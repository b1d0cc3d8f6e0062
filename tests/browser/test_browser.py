"""What leaves a real browser: one GET a page load with the right parameters, and silence where it is due.

The tracker is the one that is served. Requests arrive at a recording endpoint (``web.Recorder``).
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from services.page_address import is_local

from .devtools import Browser, Tab
from .web import Arrival, Pages, Recorder, page, until


def tag(recorder: Recorder, attributes: str = "defer", host: str = "pixel.example") -> str:
    """The script tag as an owner writes it."""
    return f'<script {attributes} src="{recorder.url("/a.js", host)}"></script>'


def hits(arrivals: list[Arrival]) -> set[str]:
    """The ids that came: as many as the pixel will store."""
    return {arrival.query["id"] for arrival in arrivals}


async def silent(tab: Tab, recorder: Recorder) -> bool:
    """Whether the pages of a tab loaded the tracker, and it asked for nothing."""
    await tab.settle()
    asked = [url for url in tab.requests if f":{recorder.port}/" in url]
    assert asked, "the tracker was not even loaded"
    return not recorder.arrivals and all(url == recorder.url("/a.js") for url in asked)


# What is sent ---------------------------------------------------------------------------------------------


async def test_a_page_load_is_one_get_with_all_parameters(tab: Tab, site: Pages, recorder: Recorder) -> None:
    await tab.send("Emulation.setDeviceMetricsOverride", width=800, height=600, screenWidth=1920,
                   screenHeight=1080, deviceScaleFactor=2, mobile=False)  # fmt: skip
    site.put("/", page(title="Häfen & Köche — 1 + 1", head=tag(recorder)))
    site.put("/from", page(body='<a id="link" href="/">on</a>'))
    await tab.open(site.url("/from", "news.example"))
    address = site.url("/?q=a%26b&utm_source=x")
    await tab.follow(f"link.href = '{address}#part', link.click()")

    (arrival,) = await recorder.wait_for(1)
    assert (arrival.method, arrival.path) == ("GET", "/a")
    identity = uuid.UUID(arrival.query.pop("id"))
    assert identity.version == 4 and identity.variant == uuid.RFC_4122
    assert arrival.query == {
        "url": address,
        "referrer": site.url("/", "news.example"),
        "title": "Häfen & Köche — 1 + 1",
        "screen": "1920x1080",
        "event": "pageview",
        "props": "",
    }
    assert arrival.headers["accept-language"].startswith("en-US")  # where the pixel reads the language
    assert "cookie" not in arrival.headers
    await tab.settle()
    assert len(recorder.arrivals) == 1
    assert not tab.errors


async def test_each_page_load_has_its_own_id_and_sends_one_request_though_left_at_once(
    tab: Tab, site: Pages, recorder: Recorder
) -> None:
    site.put("/", page(head=tag(recorder)))
    for _ in range(10):
        await tab.open(site.url("/"))
    await recorder.wait_for(10)
    await tab.settle()
    assert len(recorder.arrivals) == len(hits(recorder.arrivals)) == 10


async def test_a_page_counts_once_however_often_it_is_looked_at(
    tab: Tab, site: Pages, recorder: Recorder
) -> None:
    site.put("/", page(head=tag(recorder) + tag(recorder) + tag(recorder, "async")))
    await tab.open(site.url("/"))
    await tab.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await tab.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow', {persisted: false}))")
    await tab.settle()
    assert len(recorder.arrivals) == 1


async def test_a_script_before_the_title_waits_for_it(tab: Tab, site: Pages, recorder: Recorder) -> None:
    site.put("/", f"<!doctype html>{tag(recorder, '')}<title>Late</title><p>text")
    await tab.open(site.url("/"))
    (arrival,) = await recorder.wait_for(1)
    assert arrival.query["title"] == "Late"


async def test_a_page_without_title_counts(tab: Tab, site: Pages, recorder: Recorder) -> None:
    site.put("/", f"<!doctype html>{tag(recorder, '')}<p>text")
    await tab.open(site.url("/"))
    (arrival,) = await recorder.wait_for(1)
    assert (arrival.query["title"], arrival.query["url"]) == ("", site.url("/"))


async def test_a_page_that_is_left_at_once_counts(tab: Tab, site: Pages, recorder: Recorder) -> None:
    site.put("/", page(head=f"{tag(recorder, '')}<script>location.href = '/other'</script>"))
    site.put("/other", page())
    await tab.open(site.url("/"))
    (arrival,) = await recorder.wait_for(1)
    assert arrival.query["url"] == site.url("/")


async def test_a_page_whose_origin_is_not_allowed_asks_once_and_is_told_nothing(
    tab: Tab, site: Pages, recorder: Recorder
) -> None:
    recorder.allow_origins = False
    site.put("/", page(head=tag(recorder)))
    await tab.open(site.url("/"))
    (arrival,) = await recorder.wait_for(1)
    assert arrival.headers["cache-control"] == "no-cache"  # what browsers send for cache: "no-store"
    await tab.settle()
    assert len(recorder.arrivals) == 1
    assert not tab.errors


async def test_the_endpoint_can_be_another(tab: Tab, site: Pages, recorder: Recorder) -> None:
    elsewhere = recorder.url("/count", "other.example")
    site.put("/", page(head=tag(recorder, f'defer data-endpoint="{elsewhere}"')))
    await tab.open(site.url("/"))
    (arrival,) = await recorder.wait_for(1)
    assert (arrival.path, arrival.headers["host"]) == ("/count", f"other.example:{recorder.port}")


@pytest.mark.parametrize(
    ("path", "title"),
    [
        ("/" + "a/" * 5_000, "short"),
        ("/" + "%E2%82%AC" * 400, "€" * 2_000),
        ("/", "cut in the middle of \ud83d"),
        ("/", "x" * 100_000),
    ],
    ids=["long path", "long in UTF-8", "half a character", "long title"],
)
async def test_a_query_is_never_longer_than_the_pixel_takes(
    tab: Tab, site: Pages, recorder: Recorder, path: str, title: str
) -> None:
    script = f"history.replaceState(null, '', {json.dumps(path)}); document.title = {json.dumps(title)}"
    site.put("/", page(title="", head=f"<script>{script}</script>{tag(recorder)}"))
    await tab.open(site.url("/"))
    (arrival,) = await recorder.wait_for(1)
    assert len(arrival.raw_query) < 8_000
    # What the pixel keeps of it is whole; beyond that a character may be cut in the middle.
    kept = arrival.query["url"][:2_048]
    assert site.url(path).startswith(kept)
    assert len(kept) == min(2_048, len(site.url(path)))
    whole = arrival.query.get("title", "")[:512].rstrip("\ufffd%E28AC")
    assert title.encode("utf-8", "replace").decode().replace("?", "\ufffd").startswith(whole)


# Strict pages, broken pages -------------------------------------------------------------------------------


async def test_it_runs_under_a_strict_policy(tab: Tab, site: Pages, recorder: Recorder) -> None:
    origin = recorder.url("")
    policy = f"default-src 'none'; script-src {origin}; connect-src {origin}; img-src {origin}; " \
        "require-trusted-types-for 'script'"  # fmt: skip
    site.put("/", page(head=tag(recorder)), policy)
    await tab.open(site.url("/"))
    (arrival,) = await recorder.wait_for(1)
    assert arrival.headers["accept"] == "*/*", "fetch was refused, an image went"
    assert not tab.errors


async def test_where_connect_src_refuses_fetch_an_image_carries_the_same_id(
    tab: Tab, site: Pages, recorder: Recorder
) -> None:
    origin = recorder.url("")
    spy = "const real = fetch; window.fetch = (url, more) => (window.asked = [url, more.keepalive], real(url, more))"
    policy = f"default-src 'none'; script-src {origin} 'unsafe-inline'; connect-src 'none'; img-src {origin}"
    site.put("/", page(head=f"<script>{spy}</script>{tag(recorder)}"), policy)
    await tab.open(site.url("/"))
    (arrival,) = await recorder.wait_for(1)
    assert arrival.headers["accept"].startswith("image/")
    assert await tab.evaluate("window.asked") == [recorder.url("/a?" + arrival.raw_query), True]
    assert not tab.errors


async def test_where_the_network_fails_an_image_carries_the_same_id(
    tab: Tab, site: Pages, recorder: Recorder
) -> None:
    recorder.hang_up = 2  # Chromium itself asks once more on a connection that it had used before
    site.put("/", page(head=tag(recorder)))
    await tab.open(site.url("/"))
    arrivals = await recorder.wait_for(2)
    await tab.settle()
    assert len(hits(arrivals + recorder.arrivals)) == 1
    assert recorder.arrivals[-1].headers["accept"].startswith("image/")
    assert not tab.errors


async def test_where_all_is_refused_the_page_does_not_notice(
    tab: Tab, site: Pages, recorder: Recorder
) -> None:
    site.put("/", page(head=tag(recorder)), f"default-src 'none'; script-src {recorder.url('')}")
    await tab.open(site.url("/"))
    await tab.settle()
    assert not recorder.arrivals
    assert not tab.errors


@pytest.mark.parametrize(
    ("damage", "counted"),
    [
        ("fetch = undefined", True),
        ("fetch = () => { throw new Error('mine') }", True),
        ("fetch = () => 'no promise'", None),  # whatever it did instead, nobody can know
        ("Object.defineProperty(navigator, 'language', {get() { throw new Error('mine') }})", None),
        ("Object.defineProperty(window, 'crypto', {value: undefined})", None),
        ("Promise = undefined", None),
        ("Object.prototype.extra = () => 1; Array.prototype.more = () => 1", True),
        ("addEventListener('DOMContentLoaded', () => document.title = '')", True),
        ("document.write('<form name=title></form><form name=referrer></form>')", True),
    ],
)
async def test_it_never_throws_into_a_page_that_broke_something(
    tab: Tab, site: Pages, recorder: Recorder, damage: str, counted: bool | None
) -> None:
    site.put("/", page(head=f"<script>{damage}</script>{tag(recorder)}"))
    await tab.open(site.url("/"))
    await tab.settle()
    assert not tab.errors
    if counted:
        assert len(hits(recorder.arrivals)) == 1


# Silence --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "blog.localhost", "127.0.0.1", "blog.test", "laptop.local"])
async def test_a_local_build_is_silent(tab: Tab, site: Pages, recorder: Recorder, host: str) -> None:
    site.put("/", page(head=tag(recorder)))
    await tab.open(site.url("/", host))
    assert await silent(tab, recorder)


@pytest.mark.parametrize("host", ["localhost.example", "172.32.0.1"])
async def test_a_host_that_only_looks_local_counts(
    tab: Tab, site: Pages, recorder: Recorder, host: str
) -> None:
    site.put("/", page(head=tag(recorder)))
    await tab.open(site.url("/", host))
    (arrival,) = await recorder.wait_for(1)
    assert arrival.query["url"] == site.url("/", host)


SILENT = "localhost a.localhost a.local a.b.local test a.test 127.0.0.1 127.255.0.9"
# Local too: the tracker leaves them to the pixel.
LEFT_TO_THE_PIXEL = """
    localhost. a.test. 0.0.0.0 10.0.0.1 10.255.255.255 192.168.0.1 169.254.0.1 172.16.0.1 172.31.255.255
    [::1] [::] [fc00::1] [fd12:3456::1] [fe80::1]
"""
WORLD = """
    blog.example example.com localhost.example a.localhost.example notlocalhost mylocal.example local.example
    test.example a.test.example mytest 10.example 10.1.2.3.example 127.0.0.1.example 192.168.example
    9.255.255.255 11.0.0.1 100.0.0.1 101.1.1.1 110.1.1.1 126.0.0.1 128.0.0.1 172.15.0.1 172.32.0.1 172.1.1.1
    192.167.0.1 193.168.0.1 169.253.0.1 203.0.113.5 [2001:db9::1] [2a00::1] [2606:4700::fd] fd.example fc00.example
"""


async def test_the_tracker_and_the_pixel_agree_on_what_is_local(
    tab: Tab, site: Pages, recorder: Recorder
) -> None:
    counting = {*LEFT_TO_THE_PIXEL.split(), *WORLD.split()}
    hosts = [*SILENT.split(), *counting]
    scripts = [
        f'<script data-endpoint="{recorder.url(f"/{number}")}">(function (location, self) {{'
        f'{recorder.script.decode()}}})(new URL("http://{host}/"), {{}})</script>'
        for number, host in enumerate(hosts)
    ]
    site.put("/", page(head="".join(scripts)))
    await tab.open(site.url("/"))
    await recorder.wait_for(len(counting))
    await tab.settle()
    assert {hosts[int(arrival.path[1:])] for arrival in recorder.arrivals} == counting
    local = {host for host in hosts if is_local(host.strip("[]").rstrip("."))}
    assert local == {*SILENT.split(), *LEFT_TO_THE_PIXEL.split()}


async def test_a_file_is_silent(tab: Tab, recorder: Recorder, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(page(head=tag(recorder)))
    await tab.open((tmp_path / "page.html").as_uri())
    assert await silent(tab, recorder)


async def test_a_driven_browser_that_says_so_is_silent(tab: Tab, site: Pages, recorder: Recorder) -> None:
    await tab.send("Emulation.setAutomationOverride", enabled=True)
    site.put("/", page(head=tag(recorder)))
    await tab.open(site.url("/"))
    assert await tab.evaluate("navigator.webdriver") is True
    assert await silent(tab, recorder)


async def test_a_tab_in_the_background_counts_when_it_is_looked_at(
    browser: Browser, site: Pages, recorder: Recorder
) -> None:
    site.put("/", page(head=tag(recorder)))
    await browser.new_tab()
    tab = await browser.new_tab(background=True)
    await tab.open(site.url("/"))
    assert await tab.evaluate("document.visibilityState") == "hidden"
    assert await silent(tab, recorder)
    await tab.show()
    await recorder.wait_for(1)
    await tab.settle()
    assert len(recorder.arrivals) == 1


async def test_a_prerendered_page_counts_when_it_is_opened(
    browser: Browser, site: Pages, recorder: Recorder
) -> None:
    rules = json.dumps({"prerender": [{"source": "list", "urls": ["/next"], "eagerness": "immediate"}]})
    go = "setInterval(async () => { if ((await fetch('/go')).ok) location.href = '/next' }, 50)"
    site.put("/", page(head=f'<script type="speculationrules">{rules}</script><script>{go}</script>'))
    tell = "addEventListener('load', () => fetch(document.prerendering ? '/prerendered' : '/loaded'))"
    site.put("/next", page(head=f"{tag(recorder)}<script>{tell}</script>"))
    await browser.open_unwatched(site.url("/"))
    await until(lambda: "/prerendered" in site.asked)
    assert not recorder.arrivals
    site.put("/go", "yes")
    (arrival,) = await recorder.wait_for(1)
    assert arrival.query["url"] == site.url("/next")
    assert site.asked.count("/next") == 1, "the prerendered page was not the one opened"


async def test_back_from_the_cache_is_another_page_load(tab: Tab, site: Pages, recorder: Recorder) -> None:
    mark = "<script>addEventListener('pageshow', e => window.restored = e.persisted)</script>"
    site.put("/", page(head=tag(recorder) + mark))
    site.put("/other", page())
    await tab.open(site.url("/"))
    await recorder.wait_for(1)
    await tab.follow("location.href = '/other'")
    await tab.evaluate("history.back()")
    arrivals = await recorder.wait_for(2)
    assert await tab.evaluate("window.restored") is True, "the page did not come from the cache"
    assert len(hits(arrivals)) == 2
    assert {arrival.query["url"] for arrival in arrivals} == {site.url("/")}


# Cookies and storage --------------------------------------------------------------------------------------

STORED = """(async () => [document.cookie, localStorage.length, sessionStorage.length,
    (await indexedDB.databases()).length, window.name])()"""


async def test_nothing_is_stored_in_the_browser(tab: Tab, site: Pages, recorder: Recorder) -> None:
    site.put("/", page(head=tag(recorder)))
    await tab.open(site.url("/"))
    await recorder.wait_for(1)
    assert await tab.evaluate(STORED) == ["", 0, 0, 0, ""]
    cookies: dict[str, Any] = await tab.send("Network.getAllCookies")
    assert cookies["cookies"] == []


@pytest.mark.parametrize("connect", [True, False], ids=["fetch", "image"])
@pytest.mark.parametrize("owner", [True, False], ids=["data-owner", "plain"])
async def test_the_owners_cookie_travels_only_where_the_tag_asks(
    tab: Tab, site: Pages, recorder: Recorder, owner: bool, connect: bool
) -> None:
    host = "stats.blog.example"  # of one domain with the page: cookies of other sites need HTTPS
    await tab.send("Network.setCookie", name="isMe", value="true", url=recorder.url("/", host))
    policy = "" if connect else "connect-src 'none'"
    site.put("/", page(head=tag(recorder, "defer data-owner" if owner else "defer", host)), policy)
    await tab.open(site.url("/"))
    (arrival,) = await recorder.wait_for(1)
    assert arrival.headers["accept"].startswith("image/") is not connect
    assert arrival.headers.get("cookie") == ("isMe=true" if owner else None)


# Pages without the tracker --------------------------------------------------------------------------------


@pytest.mark.parametrize("wrap", ["{}", "<noscript>{}</noscript>"], ids=["img", "noscript"])
async def test_without_javascript_a_bare_image_names_its_page(
    tab: Tab, site: Pages, recorder: Recorder, wrap: str
) -> None:
    await tab.send("Emulation.setScriptExecutionDisabled", value=True)
    image = f'<img src="{recorder.url("/a.gif")}" referrerpolicy="no-referrer-when-downgrade" alt="">'
    site.put("/post", page(body=wrap.format(image)))
    await tab.open(site.url("/post?page=2#part"))
    (arrival,) = await recorder.wait_for(1)
    assert (arrival.method, arrival.path, arrival.query) == ("GET", "/a.gif", {})
    assert arrival.headers["referer"] == site.url("/post?page=2")


@pytest.mark.parametrize("allowed", [True, False], ids=["origin allowed", "origin not allowed"])
async def test_the_first_systems_snippet_works_as_it_is(
    tab: Tab, site: Pages, recorder: Recorder, allowed: bool
) -> None:
    recorder.allow_origins = allowed
    snippet = (
        "const url = location.href, referrer = document.referrer, title = document.title;\n"
        f'window.answer = fetch("{recorder.url("/a.gif")}?" + new URLSearchParams({{url, referrer, title}}), '
        '{credentials: "include"})'
    )
    site.put("/", page(title="Old & true", body=f"<script>{snippet}</script>"))
    await tab.open(site.url("/?a=1"))
    (arrival,) = await recorder.wait_for(1)
    assert arrival.query == {"url": site.url("/?a=1"), "referrer": "", "title": "Old & true"}
    assert arrival.headers["origin"] == site.url("")
    status = await tab.evaluate("window.answer.then(answer => answer.status, () => 'unreadable')")
    assert status == (200 if allowed else "unreadable")
