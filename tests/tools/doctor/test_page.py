"""A page's tag: there, leading here, and allowed to work, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.tools.doctor.conftest import Web, faults, outcome, serving
from tools.doctor.installation import Asked, Installation
from tools.doctor.tags import allows, base_of

pytestmark = pytest.mark.usefixtures("names")
SCRIPT = b"void 0"


@pytest.fixture
def pixel() -> Iterator[Web]:
    """Serves a tracker."""
    with serving(Web({"/a.js": (200, {"Content-Type": "text/javascript"}, SCRIPT)})) as web:
        yield web


def seen(site: Web, pixel: Web, host: str = "blog.example", **environ: str) -> Installation:
    """An installation that counts blog.example, asked about a page of it."""
    url = f"http://pixel.example:{pixel.port}"
    asked = Asked(url=url, page=f"http://{host}:{site.port}/")
    return Installation(asked, {}, {"pixel": {"SITES": "blog.example", **environ}})


def script(pixel: Web, attributes: str = "defer") -> str:
    return f'<script {attributes} src="http://pixel.example:{pixel.port}/a.js"></script>'


def image(pixel: Web, attributes: str = "", query: str = "") -> str:
    return f'<IMG {attributes} SRC="http://pixel.example:{pixel.port}/a.gif{query}" alt="">'


def test_a_good_page_is_well(web: Web, pixel: Web) -> None:
    web.page("/", f"<!doctype html><head>{script(pixel)}<noscript>{image(pixel)}</noscript></head>")
    assert faults("page", seen(web, pixel)) == set()
    assert outcome("page", seen(web, pixel)).says.endswith("; the script is text/javascript")
    assert [path for _, path in pixel.asked] == ["/a.js", "/a.js"], "no hit is sent"


PLANTED: list[tuple[str, str, set[str]]] = [
    ("<p>nothing</p>", "", {"page.no-tag"}),
    ("<!-- {script} -->", "", {"page.no-tag"}),
    ('<script src="https://stats.example/a.js"></script>', "", {"page.elsewhere", "page.no-script"}),
    (
        '<script data-endpoint="https://stats.example/a" src="{address}/a.js"></script>',
        "",
        {"page.elsewhere"},
    ),
    ("{script}{script}", "", {"page.two-tags"}),
    ("{script}{image}", "", {"page.two-tags"}),
    ("{script}<noscript>{image}</noscript>", "", set()),
    ('{script}<script src="https://stats.example/a.js"></script>', "", {"page.two-tags"}),
    ('<script src="{address}/a.js" integrity="sha256-x"></script>', "", {"page.pinned"}),
    ('<script src="{address}/old/a.js"></script>', "", {"page.elsewhere", "page.no-script"}),
    ('<script type="module" src="{address}/a.js"></script>', "", {"page.module"}),
    ("{script}", "script-src 'self'", {"page.forbidden"}),
    ("{script}", "default-src {address}", set()),
    ("{script}", "script-src {address}; connect-src 'none'; img-src 'none'", {"page.forbidden"}),
    ("{script}", "script-src {address}; connect-src 'none'", set()),  # by the image
    (
        '<meta http-equiv="Content-Security-Policy" content="default-src \'self\'">{script}',
        "",
        {"page.forbidden"},
    ),
    ('<meta name="referrer" content="no-referrer">{image}', "", {"page.no-referrer"}),
    ('<meta name="referrer" content="no-referrer">{script}', "", set()),
    ("{image}", "", {"page.short-referrer"}),
    ('<meta name="referrer" content="unsafe-url">{image}', "", set()),
    ('<img src="{address}/a.gif?url=https://blog.example/" alt="">', "", set()),
]


@pytest.mark.parametrize(("html", "policy", "found"), PLANTED)
def test_what_is_wrong_with_a_tag_is_found(
    web: Web, pixel: Web, html: str, policy: str, found: set[str]
) -> None:
    parts = {"script": script(pixel), "image": image(pixel), "address": f"http://pixel.example:{pixel.port}"}
    for name, value in parts.items():
        html, policy = html.replace(f"{{{name}}}", value), policy.replace(f"{{{name}}}", value)
    web.page("/", html, **({"Content_Security_Policy": policy} if policy else {}))
    assert faults("page", seen(web, pixel)) == found


def test_an_image_under_a_referrer_policy_of_the_page_or_its_own(web: Web, pixel: Web) -> None:
    web.page("/", image(pixel), Referrer_Policy="no-referrer")
    assert faults("page", seen(web, pixel)) == {"page.no-referrer"}
    web.page("/", image(pixel, 'referrerpolicy="no-referrer-when-downgrade"'), Referrer_Policy="no-referrer")
    assert faults("page", seen(web, pixel)) == set()


def test_a_script_that_is_a_page_is_found(web: Web, pixel: Web) -> None:
    web.page("/", script(pixel))
    pixel.page("/a.js", "<h1>Not found</h1>")
    assert faults("page", seen(web, pixel)) == {"page.no-script"}


def test_a_host_that_is_not_counted_is_found(web: Web, pixel: Web) -> None:
    web.page("/", script(pixel))
    assert faults("page", seen(web, pixel, "new.example")) == {"page.not-a-site"}
    assert faults("page", seen(web, pixel, "localhost", SITES="*")) == {"page.local-host"}


def test_a_page_that_is_not_there_is_found(web: Web, pixel: Web) -> None:
    assert faults("page", seen(web, pixel)) == {"page.no-page"}


def test_a_tag_in_clear_on_a_page_with_https_is_found(pixel: Web, certified: tuple[str, str]) -> None:
    with serving(Web(), tls=certified) as site:  # type: ignore[arg-type]
        site.page("/", script(pixel))
        installation = seen(site, pixel)
        asked = installation.asked._replace(page=f"https://blog.example:{site.port}/")
        assert faults("page", Installation(asked, {}, installation.environs)) == {"page.mixed"}


def test_other_names_of_script_and_endpoint_are_known(web: Web, pixel: Web) -> None:
    pixel.pages["/x.js"] = pixel.pages["/a.js"]
    web.page("/", script(pixel).replace("a.js", "x.js"))
    for environ, found in (({}, {"page.no-tag"}), ({"SCRIPT_NAME": "x.js", "ENDPOINT_NAME": "x"}, set())):
        known = seen(web, pixel, **environ)
        assert faults("page", Installation(known.asked._replace(url=""), {}, known.environs)) == found
    assert faults("page", seen(web, pixel)) == set(), (
        "at the pixel's own address a proxy may give it any name"
    )


def test_no_page_leads_into_the_network_of_this_machine(web: Web, pixel: Web) -> None:
    with serving(Web()) as inner:
        for path, page in (("/", (302, {"Location": f"http://127.0.0.1:{inner.port}/"}, b"")),):
            web.pages[path] = page
        assert faults("page", seen(web, pixel)) == {"page.no-page"}
        assert "not on the internet" in outcome("page", seen(web, pixel)).says
        web.page("/", f'<script src="http://127.0.0.1:{inner.port}/a.js"></script>')
        assert faults("page", seen(web, pixel)) == {"page.elsewhere"}
        assert "not asked for" in outcome("page", seen(web, pixel)).says
        assert inner.asked == []
    web.pages["/"] = (302, {"Location": "file:///etc/passwd"}, b"")
    assert "no web address" in outcome("page", seen(web, pixel)).says
    web.pages["/"] = (302, {"Location": "/"}, b"")
    assert "more than 4 times" in outcome("page", seen(web, pixel)).says


ODD = (
    '<script src="http://[/a.js"></script><img src="http://x:99999/a.gif"><img src="//:0/a.gif"><script src>',
    '<base href="http://["><base href="javascript:1"><script src="a.js" data-endpoint="http://["></script>',
    '<meta http-equiv="Content-Security-Policy"><meta name=referrer><script src="\x00/a.js" integrity type></script>',
    "</noscript></noscript><script src='a.js'"
    + "<noscript>" * 500
    + "<!--" * 50
    + "<![CDATA["
    + "\udcff" * 9,
)


@pytest.mark.parametrize("html", ODD)
def test_a_page_of_odd_html_is_looked_at_all_the_same(web: Web, pixel: Web, html: str) -> None:
    web.pages["/"] = (
        200,
        {"Content-Security-Policy": ";;script-src;,'", "Referrer-Policy": ","},
        html.encode("utf-8", "surrogateescape"),
    )
    assert faults("page", seen(web, pixel))


@pytest.mark.parametrize("place", ["http://[", "http://x:99999/", "//", "mailto:a@b.example", "http://\x7f/"])
def test_a_redirect_to_no_address_is_none(web: Web, pixel: Web, place: str) -> None:
    web.pages["/"] = (302, {"Location": place}, b"")
    assert faults("page", seen(web, pixel)) == {"page.no-page"}


def test_an_address_is_spelled_in_one_way() -> None:
    assert base_of("https://Pixel.Example:443/s/") == base_of("https://pixel.example/s")
    assert base_of("http://[2001:DB8::1]:8000") == "http://[2001:db8::1]:8000"


@pytest.mark.parametrize(
    ("policy", "address", "allowed"),
    [
        ("", "https://p.example/a.js", True),
        ("script-src *", "https://p.example/a.js", True),
        ("script-src https:", "https://p.example/a.js", True),
        ("script-src p.example", "https://p.example/a.js", True),
        ("script-src *.example", "https://p.example/a.js", True),
        ("script-src *.example", "https://example/a.js", False),
        ("script-src https://p.example/s/", "https://p.example/a.js", False),
        ("script-src https://p.example/", "https://p.example/a.js", True),
        ("script-src https://p.example/a.js", "https://p.example/a.js", True),
        ("script-src https://p.example/b.js", "https://p.example/a.js", False),
        ("script-src HTTPS://P.Example/A.js", "https://p.example/A.js", True),
        ("script-src http://p.example", "https://p.example/a.js", True),
        ("script-src p.example:*", "https://p.example:8443/a.js", True),
        ("script-src p.example", "https://p.example:8443/a.js", False),
        ("script-src http://[", "https://p.example/a.js", False),
        ("script-src p.example:8443", "https://p.example/a.js", False),
        ("script-src p.example:8443", "https://p.example:8443/a.js", True),
        ("script-src 'self'", "https://blog.example/a.js", True),
        ("script-src 'none'", "https://p.example/a.js", False),
        ("default-src 'none'; script-src-elem p.example", "https://p.example/a.js", True),
        ("script-src 'nonce-1'", "https://p.example/a.js", True),
        ("script-src *, script-src 'self'", "https://p.example/a.js", False),
    ],
)
def test_what_a_policy_allows(policy: str, address: str, allowed: bool) -> None:
    assert allows([policy], "script-src", address, "https://blog.example/") is allowed
