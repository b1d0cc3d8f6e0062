"""The scripts of docs/tag.md as they stand, in a real browser, with the tracker of a real stack."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.devtools import Tab
from tests.browser.web import Pages, page
from tests.docs.guide import Guide
from tests.system.stack import Stack

pytestmark = pytest.mark.system

TAG = Guide("tag.md")
ROW_S = 20.0


def block(words: str) -> str:
    """The one block of HTML with these words."""
    (found,) = (text for text in TAG.blocks("html") if words in text)
    return found


@pytest.fixture
def pixel(stack: Stack) -> Callable[[str], str]:
    """A text of the page with the stack's pixel in it."""
    port = stack.pixel_url.rstrip("/").rpartition(":")[2]
    return lambda text: text.replace("https://pixel.example.com", f"http://pixel.example:{port}")


@pytest.fixture(scope="module")
def other_stack(make_stack: Callable[..., Stack]) -> Stack:
    """A stack for apps whose pages stand behind #, under other names."""
    return make_stack(HASH_ROUTING="on", SCRIPT_NAME="x.js", ENDPOINT_NAME="b")


def new_host() -> str:
    return f"{uuid.uuid4().hex[:8]}.example"


async def rows(stack: Stack, host: str, number: int) -> list[Any]:
    """Path, event and properties of a host's hits, in order, once there are so many."""
    sql = "select path, event, props from hits where site = %s order by received_at, path"
    async with asyncio.timeout(ROW_S):
        # What is waited for happens in other processes.
        while len(found := await asyncio.to_thread(stack.query, sql, host)) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return found


async def test_the_tag_and_its_policy(
    tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]
) -> None:
    (policy,) = (text.strip() for text in TAG.blocks("") if "script-src" in text)
    host = new_host()
    site.put("/a-page", page(head=pixel(TAG.blocks("html")[0])), pixel(f"default-src 'none'; {policy}"))
    await tab.open(site.url("/a-page", host))
    assert await rows(stack, host, 1) == [("/a-page", "pageview", None)]
    assert not tab.errors
    stored = "[document.cookie, localStorage.length, sessionStorage.length].join()"
    assert await tab.evaluate(stored) == ",0,0"


async def test_an_image_needs_no_script(
    tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]
) -> None:
    host = new_host()
    site.put("/a-page", page(body=pixel(block("no-referrer-when-downgrade"))))
    await tab.open(site.url("/a-page", host))
    assert await rows(stack, host, 1) == [("/a-page", "pageview", None)]


async def test_the_button_opts_out_and_in(
    tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]
) -> None:
    host = new_host()
    html = page(head=pixel(TAG.blocks("html")[0]), body=block("footfall-switch"))
    for path in ("/first", "/silent", "/last"):
        site.put(path, html)
    button = "document.getElementById('footfall-switch')"
    await tab.open(site.url("/first", host))
    await rows(stack, host, 1)
    assert await tab.evaluate(f"{button}.click(), {button}.textContent") == "Count my visits again"
    assert await tab.evaluate("localStorage.getItem('footfall')") == "off"
    await tab.open(site.url("/silent", host))
    await tab.settle()  # as long as a page is looked at before it counts
    assert await tab.evaluate(f"{button}.textContent") == "Count my visits again"
    assert await tab.evaluate(f"{button}.click(), {button}.textContent") == "Do not count my visits"
    assert await tab.evaluate("localStorage.length") == 0
    await tab.open(site.url("/last", host))  # comes after the silent one: what that had sent would be there
    assert [path for path, _, _ in await rows(stack, host, 2)] == ["/first", "/last"]


async def test_events(tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]) -> None:
    host = new_host()
    early = block("footfall.q") + block('footfall("signup"')
    site.put("/events", page(head=early + pixel(TAG.blocks("html")[0]), body=block("data-footfall-event")))
    await tab.open(site.url("/events", host))
    await rows(stack, host, 2)
    await tab.evaluate("document.querySelector('[data-footfall-event]').click()")
    found = await rows(stack, host, 3)
    assert [(event, props) for _, event, props in found] == [
        ("pageview", None),
        ("signup", {"plan": "pro"}),
        ("signup", None),
    ]
    assert not tab.errors


@pytest.mark.parametrize(
    ("attribute", "paths"), [("", ["/app", "/last"]), ("data-hash ", ["/app", "/app#/about", "/last"])]
)
async def test_hash_routing(
    tab: Tab, site: Pages, other_stack: Stack, attribute: str, paths: list[str]
) -> None:
    port = other_stack.pixel_url.rstrip("/").rpartition(":")[2]
    host = new_host()
    tag = TAG.blocks("html")[0].replace("<script ", f"<script {attribute}")
    tag = tag.replace("https://pixel.example.com", f"http://pixel.example:{port}")
    site.put("/app", page(head=tag))
    await tab.open(site.url("/app", host))
    await rows(other_stack, host, 1)
    await tab.evaluate("location.hash = '/about'")
    await rows(other_stack, host, len(paths) - 1)
    await tab.evaluate("history.pushState({}, '', '/last')")
    assert [path for path, _, _ in await rows(other_stack, host, len(paths))] == paths


@pytest.mark.parametrize("script", ["x.js", "a.js"])
async def test_other_names(tab: Tab, site: Pages, other_stack: Stack, script: str) -> None:
    port = other_stack.pixel_url.rstrip("/").rpartition(":")[2]
    host = new_host()
    tag = TAG.blocks("html")[0].replace(
        "https://pixel.example.com/a.js", f"http://pixel.example:{port}/{script}"
    )
    site.put("/renamed", page(head=tag))
    await tab.open(site.url("/renamed", host))
    assert await rows(other_stack, host, 1) == [("/renamed", "pageview", None)]
    asked = [url.partition("?")[0] for url in tab.requests if f":{port}/" in url]
    assert asked == [f"http://pixel.example:{port}/{name}" for name in (script, "b")]
    for name in ("a", "a.gif", "b", "b.gif"):
        _, headers, _ = other_stack.get(f"/{name}?url=https://{host}/renamed")
        assert headers["X-Footfall"] == "accepted"


async def test_a_missing_page(tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]) -> None:
    host = new_host()
    tag = pixel(TAG.blocks("html")[0])
    site.put("/said", page(head=tag.replace("<script ", '<script data-status="404" ')))
    site.put("/found", page(head=tag))
    for path in ("/said", "/found"):
        await tab.open(site.url(path, host))
    await rows(stack, host, 2)
    sql = "select path, status from hits where site = %s order by path"
    assert await asyncio.to_thread(stack.query, sql, host) == [("/found", None), ("/said", 404)]


async def test_a_single_page_app(tab: Tab, site: Pages, stack: Stack, pixel: Callable[[str], str]) -> None:
    host = new_host()
    site.put("/one", page(head=pixel(TAG.blocks("html")[0])))
    await tab.open(site.url("/one", host))
    await rows(stack, host, 1)
    await tab.evaluate("history.pushState({}, '', '/two'), document.title = 'Two'")
    await rows(stack, host, 2)
    await tab.evaluate("history.replaceState({}, '', '/two'), history.replaceState({}, '', '/three')")
    await rows(stack, host, 3)
    await tab.evaluate("history.pushState({}, '', '/three?q=1')")
    await rows(stack, host, 4)
    await tab.evaluate("history.go(-2)")
    found = await rows(stack, host, 5)
    assert [path for path, _, _ in found] == ["/one", "/two", "/three", "/three", "/one"]
    sql = "select path, title, referrer from hits where site = %s order by received_at"
    titles = await asyncio.to_thread(stack.query, sql, host)
    assert titles[1][1] == "Two"
    bare = [re.sub(r"^https?://[^/]*", "", referrer or "") for _, _, referrer in titles]
    assert bare == ["", "/one", "/two", "/three", "/three"]
