"""What the tracker makes of all that a page can do, as rows of ``hits``: a real browser, ``make run``, SQL.

Each test has a host of its own, so that the stack may be shared.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.system.stack import Stack

from .devtools import Browser, Tab
from .rows import free_name, rows
from .web import Pages, page, serving, until

pytestmark = pytest.mark.system

HITS = """
    select event, path, title, referrer, status, is_me, props
    from hits where site = %s and event not like 'last-%%' order by received_at, hit_id
"""


@dataclass
class Blog:
    """A site of a test's own, on the shared stack."""

    site: Pages
    stack: Stack
    host: str
    script: str  # address of the tracker
    tab: Tab | None = None  # none where DevTools would be in the way

    def url(self, path: str) -> str:
        return self.site.url(path, self.host)

    def tag(self, attributes: str = "defer") -> str:
        return f'<script {attributes} src="{self.script}"></script>'

    def put(self, path: str = "/", *, attributes: str = "defer", policy: str = "", **parts: str) -> None:
        """Serve a page with the tag."""
        parts["head"] = parts.get("head", "") + self.tag(attributes)
        self.site.put(path, page(**parts), policy)

    async def settled(self, tab: Tab | None = None) -> list[dict[str, Any]]:
        """All hits of the site, once one that was sent after them has its row: what is not there will not come."""
        tab = tab or self.tab
        if tab:
            await tab.settle()
        last = f"last-{uuid.uuid4()}"
        # From here, not from the page: the page may be broken, left or silent. The pixel keeps the order.
        async with aiohttp.ClientSession() as session:
            await session.get(f"{self.stack.pixel_url}/a", params={"url": self.url("/last"), "event": last})
        await rows(self.stack, "select 1 as one from hits where site = %s and event = %s", self.host, last)
        return await rows(self.stack, HITS, self.host, number=0)

    async def pages(self) -> list[str]:
        """Paths of the pageviews, in their order."""
        return [row["path"] for row in await self.settled() if row["event"] == "pageview"]


@pytest.fixture
async def unwatched_blog(site: Pages, stack: Stack) -> Blog:
    port = stack.pixel_url.rsplit(":", 1)[1].strip("/")
    return Blog(site, stack, f"{free_name('blog')}.example", f"http://pixel.example:{port}/a.js")


@pytest.fixture
async def blog(unwatched_blog: Blog, tab: Tab) -> Blog:
    unwatched_blog.tab = tab
    return unwatched_blog


def paths(found: list[dict[str, Any]]) -> list[str]:
    return [row["path"] for row in found if row["event"] == "pageview"]


def events(found: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    return [(row["event"], row["props"]) for row in found if row["event"] != "pageview"]


# Single-page apps -----------------------------------------------------------------------------------------


async def test_a_single_page_app_counts_each_address_once_with_title_and_referrer(blog: Blog) -> None:
    blog.put("/", title="Start")
    blog.site.put("/from", page(body=f'<a id="link" href="{blog.url("/")}">on</a>'))
    await blog.tab.open(blog.site.url("/from", "news.example"))
    await blog.tab.follow("link.click()")
    for act, title in (
        ("history.pushState({}, '', '/one')", "One"),
        ("history.replaceState({}, '', '/two?page=2')", "Two"),
        ("history.pushState({}, '', '/two?page=2')", "Two"),  # the same address: no page
        ("history.pushState({}, '', '/two?page=2#part')", "Two"),  # a place on it: no page
    ):
        await blog.tab.evaluate(f"{act}; setTimeout(() => document.title = {json.dumps(title)}, 50); 0")
        await asyncio.sleep(0.5)  # somebody reads; a title may come 0.3 s late
    found = await blog.settled()
    assert (
        [(row["path"], row["title"], row["referrer"]) for row in found]
        == [
            ("/", "Start", "http://news.example/"),
            ("/one", "One", f"http://{blog.host}/"),
            ("/two", "Two", f"http://{blog.host}/one"),
            # go(-2) leads from /two#part over /two (there twice) to the entry that replaceState renamed.
        ]
        + [(row["path"], row["title"], row["referrer"]) for row in found[3:]]
    )
    assert paths(found[3:]) in ([], ["/two"])
    assert not blog.tab.errors


async def test_back_in_a_single_page_app_counts_with_the_page_before_as_referrer(blog: Blog) -> None:
    blog.put("/", title="Start")
    await blog.tab.open(blog.url("/"))
    for act in ("history.pushState({}, '', '/one')", "history.back()", "history.forward()"):
        await blog.tab.evaluate(f"{act}; 0")
        await asyncio.sleep(0.5)
    found = await blog.settled()
    assert [(row["path"], row["referrer"]) for row in found] == [
        ("/", None),
        ("/one", f"http://{blog.host}/"),
        ("/", f"http://{blog.host}/one"),
        ("/one", f"http://{blog.host}/"),
    ]


async def test_addresses_that_follow_each_other_at_once_all_count(blog: Blog) -> None:
    blog.put("/")
    await blog.tab.open(blog.url("/"))
    await blog.tab.evaluate("for (const name of ['a', 'b', 'c']) history.pushState({}, '', '/' + name)")
    await asyncio.sleep(0.4)
    assert await blog.pages() == ["/", "/a", "/b", "/c"]


async def test_each_page_of_an_app_has_its_own_title_however_quick_the_reader(blog: Blog) -> None:
    blog.put("/", title="App", head="<script>setTimeout(() => document.title = 'Start', 100)</script>")
    await blog.tab.open(blog.url("/"))
    await blog.tab.evaluate("""(async () => {
        const pause = ms => new Promise(done => setTimeout(done, ms));
        const go = (path, title, ms) => {
            history.pushState({}, "", path);
            setTimeout(() => document.title = title, ms);
        };
        await pause(500);
        go("/a", "A", 0);
        await pause(250);
        go("/b", "B", 150);  // the timer of /a ends before its title is there
        await pause(500);
        go("/c", "C", 150);
        await pause(80);
        document.body.click();  // the second half of a double click
        await pause(500);
    })()""")
    found = await blog.settled()
    assert [(row["path"], row["title"]) for row in found] == [
        ("/", "Start"),
        ("/a", "A"),
        ("/b", "B"),
        ("/c", "C"),
    ]


async def test_an_app_that_is_left_before_the_title_came_counts(blog: Blog) -> None:
    blog.put("/")
    blog.site.put("/elsewhere", page())
    await blog.tab.open(blog.url("/"))
    await blog.tab.follow("(history.pushState({}, '', '/short'), location.href = '/elsewhere')")
    assert await blog.pages() == ["/", "/short"]


async def test_a_step_on_the_way_that_nobody_saw_keeps_the_referrer(blog: Blog, browser: Browser) -> None:
    blog.put("/", title="Start")
    await browser.new_tab()
    tab = await browser.new_tab(background=True)
    await tab.open(blog.url("/"))
    await tab.evaluate("history.replaceState({}, '', '/home'); document.title = 'Home'")
    await asyncio.sleep(0.4)
    assert await blog.settled(tab) == []
    await tab.show()
    await until_counted(blog, 1)
    (row,) = await blog.settled(tab)
    assert (row["path"], row["title"], row["referrer"]) == ("/home", "Home", None)


async def until_counted(blog: Blog, number: int) -> None:
    await rows(blog.stack, HITS, blog.host, number=number)


@pytest.mark.parametrize("attributes", ["defer", "defer data-hash"])
async def test_hash_routes_are_pages_where_the_tag_says_so(blog: Blog, attributes: str) -> None:
    blog.put("/app", attributes=attributes)
    await blog.tab.open(blog.url("/app"))
    await blog.tab.evaluate("history.replaceState({}, '', '#/')")  # no other page than the one without it
    await asyncio.sleep(0.4)
    for act in ("location.hash = '#/about'", "location.hash = '#/more'", "history.back()"):
        await blog.tab.evaluate(f"{act}; 0")
        await asyncio.sleep(0.4)
    # This stack has HASH_ROUTING=off, so that all routes have the page's path.
    assert await blog.pages() == ["/app"] * (4 if "hash" in attributes else 1)


async def test_a_page_that_wraps_history_itself_goes_on_as_before(blog: Blog) -> None:
    wrap = """<script>
        const push = history.pushState;
        history.pushState = function (...values) { window.mine = values.length; return push.apply(this, values); };
    </script>"""
    blog.put("/", head=wrap)
    await blog.tab.open(blog.url("/"))
    await blog.tab.evaluate("history.pushState({a: 1}, '', '/one')")
    assert await blog.tab.evaluate("[window.mine, history.state, location.pathname]") == [3, {"a": 1}, "/one"]
    thrown = "(() => { try { history.pushState(() => 1, '', '/bad') } catch (e) { return e.name } })()"
    assert await blog.tab.evaluate(thrown) == "DataCloneError"
    await asyncio.sleep(0.4)
    assert await blog.pages() == ["/", "/one"]


# Page loads that are none, and those that are --------------------------------------------------------------


async def test_back_and_forward_from_the_cache_count(blog: Blog) -> None:
    blog.put("/", head="<script>addEventListener('pageshow', e => window.restored = e.persisted)</script>")
    blog.put("/other")
    await blog.tab.open(blog.url("/"))
    await blog.tab.follow("location.href = '/other'")
    for act in ("history.back()", "history.forward()", "history.back()"):
        await blog.tab.evaluate(f"{act}; 0")
        await asyncio.sleep(0.5)
    assert await blog.tab.evaluate("window.restored") is True, "the page did not come from the cache"
    assert await blog.pages() == ["/", "/other", "/", "/other", "/"]


async def test_a_tab_in_the_background_counts_when_it_is_looked_at(blog: Blog, browser: Browser) -> None:
    blog.put("/")
    await browser.new_tab()
    tab = await browser.new_tab(background=True)
    await tab.open(blog.url("/"))
    assert await tab.evaluate("document.visibilityState") == "hidden"
    assert await blog.settled(tab) == []
    await tab.show()
    await until_counted(blog, 1)
    assert paths(await blog.settled(tab)) == ["/"]


async def test_a_prerendered_page_counts_when_it_is_opened(unwatched_blog: Blog, browser: Browser) -> None:
    blog = unwatched_blog
    rules = json.dumps({"prerender": [{"source": "list", "urls": ["/next"], "eagerness": "immediate"}]})
    go = "setInterval(async () => { if ((await fetch('/go')).ok) location.href = '/next' }, 50)"
    start = f'<script type="speculationrules">{rules}</script><script>{go}</script>'
    blog.site.put("/", page(head=start))
    blog.put(
        "/next",
        head="<script>addEventListener('load', () => document.prerendering && fetch('/seen'))</script>",
    )
    await browser.open_unwatched(blog.url("/"))
    await until(lambda: "/seen" in blog.site.asked)
    assert await blog.pages() == []
    blog.site.put("/go", "yes")
    await until_counted(blog, 1)
    assert await blog.pages() == ["/next"]
    assert blog.site.asked.count("/next") == 1, "the prerendered page was not the one opened"


async def test_javascript_off_leaves_the_image(blog: Blog) -> None:
    image = blog.script.replace("a.js", "a.gif")
    body = f'<noscript><img src="{image}" referrerpolicy="no-referrer-when-downgrade" alt=""></noscript>'
    blog.put("/post", body=body)
    await blog.tab.send("Emulation.setScriptExecutionDisabled", value=True)
    await blog.tab.open(blog.url("/post"))
    await until_counted(blog, 1)
    await blog.tab.send("Emulation.setScriptExecutionDisabled", value=False)
    assert await blog.pages() == ["/post"]


async def test_a_missing_page_is_known_by_its_status(blog: Blog) -> None:
    await blog.tab.open(blog.url("/"))  # nothing there: a plain 404 without a tag
    for path, status, attributes in (
        ("/gone", 404, "defer"),
        ("/fine", 200, "defer"),
        ("/told", 200, 'defer data-status="410"'),
    ):
        blog.put(path, attributes=attributes, title="Ein Titel, der nichts sagt")
        blog.site.statuses[path] = status
        await blog.tab.open(blog.url(path))
        await asyncio.sleep(0.1)
    await blog.tab.evaluate("history.pushState({}, '', '/told/next')")
    await asyncio.sleep(0.4)
    found = await blog.settled()
    assert [(row["path"], row["status"]) for row in found] == [
        ("/gone", 404), ("/fine", None), ("/told", 410), ("/told/next", None),
    ]  # fmt: skip
    missing = "select path, pageviews from daily_missing where site = %s order by path"
    assert await rows(blog.stack, missing, blog.host, number=2) == [
        {"path": "/gone", "pageviews": 1},
        {"path": "/told", "pageviews": 1},
    ]


async def test_two_tags_on_a_page_count_once(blog: Blog) -> None:
    blog.put("/", head=blog.tag() + blog.tag("async"))
    await blog.tab.open(blog.url("/"))
    await blog.tab.evaluate("history.pushState({}, '', '/one')")
    await asyncio.sleep(0.4)
    assert await blog.pages() == ["/", "/one"]


# Events ---------------------------------------------------------------------------------------------------

STUB = "window.footfall = window.footfall || function () { (footfall.q = footfall.q || []).push(arguments) };"


async def test_custom_events_count_also_those_from_before_the_script(blog: Blog) -> None:
    early = f"<script>{STUB} footfall('early', {{n: 1}}); footfall('bare')</script>"
    blog.put("/", head=early, body="<b data-footfall-event='marked'><i id='inner'>x</i></b>")
    await blog.tab.open(blog.url("/"))
    await blog.tab.evaluate("footfall('late', {plan: 'pro', yes: true, of: 2.5})")
    await blog.tab.evaluate("inner.click()")
    found = await blog.settled()
    assert found[0]["event"] == "pageview", "events of a page come after its pageview"
    assert sorted(events(found)) == [
        ("bare", None), ("early", {"n": 1}), ("late", {"plan": "pro", "yes": True, "of": 2.5}), ("marked", None),
    ]  # fmt: skip
    assert {row["path"] for row in found} == {"/"}
    assert len(paths(found)) == 1


async def test_a_bad_event_is_none_that_looks_like_a_pageview_and_throws_nothing(blog: Blog) -> None:
    blog.put("/", head=f"<script>{STUB} footfall(''); footfall()</script>")
    await blog.tab.open(blog.url("/"))
    await blog.tab.evaluate("""
        footfall(); footfall(""); footfall(null); footfall(0); footfall("x".repeat(65));
        footfall("deep", {a: {b: 1}});
        const circle = {}; circle.circle = circle; footfall("circle", circle);
        footfall("long", Object.fromEntries([...Array(30)].map((_, n) => ["k" + n, "€".repeat(300)]))); 0
    """)
    found = await blog.settled()
    assert len(paths(found)) == 1
    names = [name for name, _ in events(found)]
    assert names.count("invalid") == 7
    assert sorted(set(names)) == ["deep", "invalid", "long"]
    assert {props for _, props in events(found)} == {None}
    assert not blog.tab.errors


async def test_an_event_on_a_page_with_a_very_long_address_is_no_pageview(blog: Blog) -> None:
    blog.put("/")
    await blog.tab.open(blog.url("/?q=" + "%E3%81%82" * 560))
    await blog.tab.evaluate("footfall('signup', {plan: 'pro'})")
    found = await blog.settled()
    assert [row["event"] for row in found] == ["pageview", "signup"]


async def test_what_a_page_reports_while_it_is_left_arrives(blog: Blog) -> None:
    report = """<script>
        addEventListener("pagehide", () => footfall("a"));
        document.addEventListener("visibilitychange", () => { if (document.hidden) footfall("b") });
    </script>"""
    blog.put("/", head=report)
    blog.site.put("/elsewhere", page())
    await blog.tab.open(blog.url("/"))
    await blog.tab.settle()
    await blog.tab.follow("location.href = '/elsewhere'")
    found = await blog.settled()
    assert sorted(row["event"] for row in found) == ["a", "b", "pageview"]


async def test_an_element_named_like_the_function_does_no_harm(blog: Blog) -> None:
    blog.put("/", body="<div id='footfall'>analytics</div>")
    await blog.tab.open(blog.url("/"))
    await blog.tab.evaluate("footfall('works')")
    found = await blog.settled()
    assert (paths(found), events(found)) == (["/"], [("works", None)])


LINKS = """
    <a id="out" href="http://other.example/there?secret=1#x">out</a>
    <a id="within" href="/within">within</a>
    <a id="mail" href="mailto:jane@mail.net">mail</a>
    <a id="script" href="javascript:void 0">script</a>
    <a id="file" href="/files/report.pdf?token=abc">file</a>
    <a id="other" href="http://other.example/archive.zip">both</a>
    <a id="named">no href</a>
    <a id="page" href="/post.html">a page</a>
    <svg><a href="http://other.example/svg"><text id="drawn">drawn</text></a></svg>
    <script>addEventListener("click", event => event.preventDefault())</script>
"""


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ("defer", []),
        ("defer data-outbound", [("outbound", "http://other.example/there"),
                                 ("outbound", "http://other.example/archive.zip")]),
        ("defer data-downloads", [("download", "{}/files/report.pdf"),
                                            ("download", "http://other.example/archive.zip")]),
        ("defer data-outbound data-downloads", [("outbound", "http://other.example/there"),
                                                          ("download", "{}/files/report.pdf"),
                                                          ("download", "http://other.example/archive.zip")]),
    ],
)  # fmt: skip
async def test_clicks_on_links_count_where_the_tag_asks(
    blog: Blog, attributes: str, expected: list[tuple[str, str]]
) -> None:
    blog.put("/", attributes=attributes, body=LINKS)
    await blog.tab.open(blog.url("/"))
    click = """
        for (const id of ["out", "within", "mail", "script", "file", "other", "named", "page", "drawn"])
            document.getElementById(id).dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true}))
    """
    await blog.tab.evaluate(click)
    found = events(await blog.settled())
    assert found == [(name, {"url": url.format(blog.url(""))}) for name, url in expected]
    assert not blog.tab.errors


async def test_a_real_click_that_leaves_the_page_counts_so_does_the_middle_button(blog: Blog) -> None:
    big = "display:block;position:absolute;left:0;top:0;width:400px;height:100px"
    blog.put(
        "/", attributes="defer data-outbound",
        body=f'<a style="{big}" href="{blog.site.url("/gone", "other.example")}">out</a>',
    )  # fmt: skip
    await blog.tab.open(blog.url("/"))

    async def press(button: str) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            await blog.tab.send(
                "Input.dispatchMouseEvent", type=kind, x=50, y=50, button=button, clickCount=1
            )

    for button in ("right", "middle", "left"):
        await press(button)
        await asyncio.sleep(0.2)
    await asyncio.sleep(0.3)
    found = events(await blog.settled())
    assert found == [("outbound", {"url": blog.site.url("/gone", "other.example")})] * 2


async def test_the_seconds_that_a_page_is_visible_are_counted_where_the_tag_asks(
    blog: Blog, browser: Browser
) -> None:
    blog.put("/", attributes="defer data-engaged", title="Start")
    blog.site.put("/elsewhere", page())
    await blog.tab.open(blog.url("/"))
    await asyncio.sleep(1.2)
    await blog.tab.evaluate("history.pushState({}, '', '/two')")  # ends /
    await asyncio.sleep(2.2)
    other = await browser.new_tab()  # hides /two
    await other.show()
    assert await blog.tab.evaluate("document.visibilityState") == "hidden"
    await asyncio.sleep(1.2)  # nobody looks
    await blog.tab.show()
    await asyncio.sleep(0.3)  # less than a second: nothing to say
    await blog.tab.follow("location.href = '/elsewhere'")
    found = await blog.settled()
    engaged = [(row["path"], row["props"]["seconds"]) for row in found if row["event"] == "engaged"]
    assert engaged == [("/", 1), ("/two", 2)]
    assert paths(found) == ["/", "/two"]


# Silence --------------------------------------------------------------------------------------------------


async def test_a_reader_who_opts_out_is_left_out_at_once_and_may_come_back(blog: Blog) -> None:
    blog.put("/")
    await blog.tab.open(blog.url("/"))
    await blog.tab.settle()  # what is not sent yet would not be sent
    await blog.tab.evaluate("localStorage.setItem('footfall', 'off')")
    await blog.tab.evaluate("history.pushState({}, '', '/secret'); footfall('secret')")
    await asyncio.sleep(0.4)
    await blog.tab.open(blog.url("/"))
    await blog.tab.evaluate("footfall('secret')")
    assert paths(await blog.settled()) == ["/"]
    await blog.tab.evaluate("localStorage.removeItem('footfall')")
    await blog.tab.open(blog.url("/"))
    found = await blog.settled()
    assert (paths(found), events(found)) == (["/", "/"], [])
    assert not blog.tab.errors


async def test_where_storage_is_forbidden_the_page_counts(blog: Blog) -> None:
    deny = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError') }})"
    blog.put("/", head=f"<script>{deny}</script>")
    await blog.tab.open(blog.url("/"))
    assert await blog.pages() == ["/"]
    assert not blog.tab.errors


async def test_a_driven_browser_that_says_so_leaves_no_row(blog: Blog) -> None:
    await blog.tab.send("Emulation.setAutomationOverride", enabled=True)
    blog.put(
        "/", attributes="defer data-outbound data-engaged", body="<b id='b' data-footfall-event='x'>b</b>"
    )
    await blog.tab.open(blog.url("/"))
    assert await blog.tab.evaluate("navigator.webdriver") is True
    await blog.tab.evaluate("history.pushState({}, '', '/one'); footfall('x'); b.click()")
    await asyncio.sleep(0.4)
    assert await blog.settled() == []
    assert await blog.tab.evaluate("typeof footfall") == "function", "the page's own calls must not fail"


# Strict pages, and a path of the site's own -----------------------------------------------------------------


async def test_a_strict_policy_lets_it_run(blog: Blog) -> None:
    origin = blog.script.removesuffix("/a.js")
    policy = (
        f"default-src 'none'; script-src {origin}; connect-src {origin}; require-trusted-types-for 'script'; "
        "base-uri 'none'; form-action 'none'"
    )
    blog.put("/", policy=policy, attributes="defer data-outbound data-engaged")
    await blog.tab.open(blog.url("/"))
    await blog.tab.evaluate("history.pushState({}, '', '/one')")
    await asyncio.sleep(0.4)
    assert await blog.pages() == ["/", "/one"]
    assert not blog.tab.errors


async def test_where_connect_src_refuses_an_image_counts_once(blog: Blog) -> None:
    origin = blog.script.removesuffix("/a.js")
    blog.put("/", policy=f"default-src 'none'; script-src {origin}; img-src {origin}")
    await blog.tab.open(blog.url("/"))
    await until_counted(blog, 1)
    assert await blog.pages() == ["/"]
    assert not blog.tab.errors


@pytest.fixture
async def first_party(blog: Blog) -> AsyncIterator[Blog]:
    """The site, with the pixel under ``/s/`` and the script under another name, on one origin."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        names = {"/s/hello.js": "/a.js", "/s/a": "/a", "/s/a.gif": "/a.gif"}
        if request.path not in names:
            return await blog.site.handle(request)
        sent = {
            name: request.headers[name]
            for name in ("User-Agent", "Accept-Language")
            if name in request.headers
        }
        url = f"{blog.stack.pixel_url}{names[request.path]}?{request.rel_url.raw_query_string}"
        async with (
            aiohttp.ClientSession(auto_decompress=True) as session,
            session.get(url, headers=sent) as got,
        ):
            kind = got.headers.get("Content-Type", "text/plain").partition(";")[0]
            return web.Response(status=got.status, body=await got.read() or None, content_type=kind)

    async with serving(answer) as port:
        blog.site.port = port
        blog.script = f"http://{blog.host}:{port}/s/hello.js"
        yield blog


async def test_a_path_of_the_site_s_own_counts(first_party: Blog) -> None:
    blog = first_party
    blog.put("/", policy="default-src 'self'")
    await blog.tab.open(blog.url("/"))
    await blog.tab.evaluate("history.pushState({}, '', '/one')")
    await asyncio.sleep(0.4)
    assert await blog.pages() == ["/", "/one"]
    origin = blog.url("")
    assert all(url.startswith(origin) for url in blog.tab.requests), "all of it went to the site's own origin"
