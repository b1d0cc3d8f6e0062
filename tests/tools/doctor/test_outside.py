"""The outside address: certificate, redirect, CORS, and a proxy that makes other answers of the pixel's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.proxies import running
from tests.services.pixel.test_app import Pixel
from tests.tools.doctor.conftest import Reply, Web, faults, installation_of, outcome, serving
from tools.doctor.installation import Installation
from tools.servers import free_port, poll

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("names")]


@pytest.fixture(scope="module")
def pixel(make_pixel: Callable[..., Pixel]) -> Pixel:
    return make_pixel(SITES="blog.example,shop.example=blog.example")


@pytest.fixture
def proxy(pixel: Pixel) -> Iterator[Web]:
    with serving(Web(behind=pixel.port)) as web:
        yield web


def seen(pixel: Pixel, proxy: Web, scheme: str = "http", **asked: int | str) -> Installation:
    """The installation, its pixel behind this proxy."""
    return installation_of(pixel, url=f"{scheme}://pixel.example:{proxy.port}", **asked)


def accepted(installation: Installation) -> float:
    return installation.metrics("pixel")["footfall_pixel_hits_accepted", ""]


def test_a_proxy_that_hands_on_what_it_gets_is_well_and_nothing_is_counted(pixel: Pixel, proxy: Web) -> None:
    installation = seen(pixel, proxy)
    assert faults("cors", installation) == faults("proxy", installation) == set()
    assert outcome("cors", installation).says == "2 of 2 sites may send"
    assert pixel.hit().status == 204
    assert poll(lambda: accepted(installation) == 1, 10), "but for this one"


@pytest.mark.parametrize(
    ("header", "value", "found"),
    [
        ("Set-Cookie", "lb=1", {"proxy.cookies"}),
        ("Cache-Control", "public, max-age=60", {"proxy.cached"}),
        ("Age", "12", {"proxy.cached"}),
        ("X-Footfall", None, {"proxy.not-the-pixel"}),
    ],
)
def test_what_a_proxy_does_to_answers_is_found(
    pixel: Pixel, proxy: Web, header: str, value: str | None, found: set[str]
) -> None:
    def change(reply: Reply) -> Reply:
        status, headers, body = reply
        kept = {n: v for n, v in headers.items() if n != header}
        return status, kept if value is None else {**kept, header: value}, body

    proxy.change = change
    assert faults("proxy", seen(pixel, proxy)) == found


def test_something_else_at_the_address_is_found(pixel: Pixel, web: Web) -> None:
    web.page("/a.js", "<h1>Welcome</h1>")
    assert faults("proxy", seen(pixel, web)) == {"proxy.not-the-pixel"}
    assert faults("cors", seen(pixel, web)) == {"cors.refused"}


def test_cors_that_a_proxy_takes_away_or_gives_to_everybody_is_found(pixel: Pixel, proxy: Web) -> None:
    name = "Access-Control-Allow-Origin"
    proxy.change = lambda reply: (reply[0], {n: v for n, v in reply[1].items() if n != name}, reply[2])
    assert faults("cors", seen(pixel, proxy)) == {"cors.refused"}
    proxy.change = lambda reply: (reply[0], {name: "*", **reply[1]}, reply[2])
    assert faults("cors", seen(pixel, proxy)) == {"cors.strangers"}


def test_a_site_that_is_not_counted_is_named(pixel: Pixel, proxy: Web) -> None:
    installation = seen(pixel, proxy, page="https://other.example/")
    assert faults("cors", installation) == {"cors.refused"}
    assert "https://other.example" in outcome("cors", installation).says


def test_https(pixel: Pixel, proxy: Web, certified: tuple[Path, Path]) -> None:
    with serving(Web(behind=pixel.port), tls=certified) as secure:
        installation = seen(pixel, secure, "https", http_port=proxy.port)
        # The certificate is for a day; the address over HTTP answers as well.
        assert faults("https", installation) == {"https.ends-soon", "https.not-led-to-https"}
        proxy.pages["/livez"] = (308, {"Location": f"https://pixel.example:{secure.port}/livez"}, b"")
        assert faults("https", installation) == {"https.ends-soon"}
        assert faults("cors", installation) == faults("proxy", installation) == set()


def test_a_certificate_that_nobody_believes_is_found_and_what_is_behind_it_looked_at(
    pixel: Pixel, certified: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, proxy: Web
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with serving(Web(behind=pixel.port), tls=certified) as secure:
        installation = seen(pixel, secure, "https", http_port=proxy.port)
        assert "https.not-believed" in faults("https", installation)
        assert faults("cors", installation) == set()


@pytest.mark.parametrize(
    ("name", "believed"),
    [("nginx", "pixel.example.com.crt"), ("caddy", "data/caddy/pki/authorities/local/root.crt")],
)
def test_a_proxy_as_the_docs_set_it_up_is_well(
    pixel: Pixel, servers_folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, believed: str
) -> None:
    with running(name, servers_folder, pixel.port) as proxy:
        monkeypatch.setenv("SSL_CERT_FILE", str(proxy.folder / believed))
        address = f"https://blog.example:{proxy.ports['https']}"
        for url in (f"https://pixel.example.com:{proxy.ports['https']}", f"{address}/s"):
            asked = {"url": url, "page": f"{address}/tagged.html", "http_port": proxy.ports["http"]}
            installation = installation_of(pixel, **asked)
            found = set().union(*(faults(check, installation) for check in ("https", "cors", "proxy")))
            # Such certificates are for a day; nginx has one a host.
            assert found - {"https.not-believed"} <= {"https.ends-soon"}
        assert faults("page", installation) == set(), "its tag leads to the path"
        elsewhere = installation_of(pixel, **{**asked, "url": "https://pixel.example.com"})
        assert faults("page", elsewhere) == {"page.no-tag"}


def test_plain_http_is_found(pixel: Pixel, proxy: Web) -> None:
    assert faults("https", seen(pixel, proxy)) == {"https.plain"}


def test_an_address_at_which_nobody_answers_is_found(pixel: Pixel) -> None:
    for scheme in ("http", "https"):
        away = installation_of(pixel, url=f"{scheme}://pixel.example:{free_port()}")
        assert faults("https", away) == {"https.away"}
        assert outcome("cors", away).state == "not asked"


def test_without_an_address_nothing_is_asked(pixel: Pixel) -> None:
    for name in ("https", "cors", "proxy"):
        assert outcome(name, installation_of(pixel)).state == "not asked"


def test_a_pixel_that_hangs_is_given_up(pixel: Pixel, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.doctor.web.WITHIN_S", 0.3)
    listener = web.server.socket
    web.server.shutdown()  # it listens and accepts nobody
    assert listener.fileno() > 0
    found = outcome("proxy", seen(pixel, web))
    assert (found.state, found.says) == ("not asked", "URL: no answer within 0.3 s")
