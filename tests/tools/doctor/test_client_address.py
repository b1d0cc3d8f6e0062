"""A proxy that hides the readers shows in the pixel's counts, and no address does."""

from __future__ import annotations

import ipaddress
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from services.pixel.peers import PEER_KINDS, Peers, is_private
from tests.docs.proxies import Proxy, running
from tests.services.pixel.test_app import PAGE, Pixel
from tests.tools.doctor.conftest import faults, installation_of
from tools.doctor.client_address import Found, judge, trusts_the_world
from tools.servers import poll

NO_HEADER = "proxy_set_header X-Forwarded-For $remote_addr;"
CLIENTS = tuple(f"127.0.0.{number}" for number in range(2, 27))


@pytest.mark.parametrize(
    ("peer", "private"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("10.1.2.3", True),
        ("172.16.0.1", True),
        ("172.31.255.1", True),
        ("192.168.7.1", True),
        ("::ffff:172.18.0.1", True),
        ("fd12::1", True),
        ("fe80::1", True),
        ("172.15.0.1", False),
        ("172.32.0.1", False),
        ("100.1.2.3", False),
        ("192.169.0.1", False),
        ("203.0.113.7", False),
        ("::ffff:203.0.113.7", False),
        ("2001:db8::7", False),
    ],
)
def test_a_private_peer_is_told_by_how_its_address_begins(peer: str, private: bool) -> None:
    assert is_private(peer) is private
    peers = Peers()
    peers.note(peer, is_proxy=False, is_named=False, has_forwarding=True)
    assert dict(peers.counts) == {"private-forwarded" if private else "forwarded": 1}
    assert peer not in repr(vars(peers)), "only the count is kept"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="footfall-doctor-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def send(pixel: Pixel, number: int, **headers: str) -> None:
    for _ in range(number):
        assert pixel.ask(f"/a?{urlencode({'url': PAGE})}", **headers).status == 204


def counted(pixel: Pixel, kind: str, number: int) -> bool:
    """Whether the pixel has counted so many hits of a kind; it sets its metrics once a second."""
    address = f"http://127.0.0.1:{pixel.environ['METRICS_PORT']}/metrics"
    with urllib.request.urlopen(address, timeout=5) as answer:
        text = answer.read().decode()
    return f'footfall_pixel_peers{{found="{kind}"}} {number:.1f}' in text


def through_silent_nginx(pixel: Pixel, folder: Path) -> None:
    """A hit of each of many clients, through an nginx that names none of them."""
    with running("nginx", folder, pixel.port, lambda text: text.replace(NO_HEADER, "")) as proxy:
        for client in CLIENTS:
            assert hit(proxy, client) == "accepted"


def hit(proxy: Proxy, client: str) -> str:
    path = f"/a?{urlencode({'url': PAGE})}"
    return proxy.ask("pixel.example.com", path, client).headers["x-footfall"]


@pytest.mark.servers
def test_a_proxy_that_hides_the_readers_is_found(make_pixel: Callable[..., Pixel], folder: Path) -> None:
    pixel = make_pixel(RATE_LIMIT="600")
    through_silent_nginx(pixel, folder)
    assert poll(lambda: counted(pixel, "private", len(CLIENTS)), 10)
    assert faults("client-address", installation_of(pixel)) == {"client-address.one-client"}


@pytest.mark.servers
def test_a_trusted_proxy_that_names_nobody_is_found(make_pixel: Callable[..., Pixel], folder: Path) -> None:
    pixel = make_pixel(TRUSTED_PROXIES="127.0.0.1", RATE_LIMIT="600")
    through_silent_nginx(pixel, folder)
    assert poll(lambda: counted(pixel, "silent-proxy", len(CLIENTS)), 10)
    assert faults("client-address", installation_of(pixel)) == {"client-address.silent-proxy"}
    # As it should be, and more often: nothing is wrong any more.
    for number in range(30):
        send(pixel, 1, X_Forwarded_For=f"203.0.113.{number}")
    assert poll(lambda: counted(pixel, "proxy", 30), 10)
    assert faults("client-address", installation_of(pixel)) == set()


@pytest.mark.servers
def test_a_proxy_that_is_not_trusted_is_found(make_pixel: Callable[..., Pixel]) -> None:
    pixel = make_pixel()
    send(pixel, 4, X_Forwarded_For="203.0.113.7")
    assert poll(lambda: counted(pixel, "private-forwarded", 4), 10)
    assert faults("client-address", installation_of(pixel)) == set(), (
        "some may be somebody who tries things out"
    )
    send(pixel, 1, Forwarded="for=203.0.113.8")
    assert poll(lambda: counted(pixel, "private-forwarded", 5), 10)
    assert faults("client-address", installation_of(pixel)) == {"client-address.untrusted-proxy"}


def found(trusted: str = "", most_clients: int = 3, **counts: int) -> Found:
    networks = [ipaddress.ip_network(text) for text in trusted.split(",") if text]
    kinds = {kind: counts.get(kind.replace("-", "_"), 0) for kind in PEER_KINDS}
    return Found(kinds, most_clients, networks, "X-Forwarded-For")


@pytest.mark.parametrize(
    ("facts", "names"),
    [
        (found(), ()),
        (found(direct=1_000, forwarded=400, private=30), ()),
        (found(private=100), ()),  # readers of an intranet
        (found(private=19, most_clients=1), ()),
        (found(private=20, most_clients=0), ("one-client",)),
        (found(forwarded=600, direct=400), ("unknown-proxy",)),
        (found(proxy=900, silent_proxy=100), ()),
        (found(trusted="0.0.0.0/0", proxy=10), ("trusts-the-world",)),
        (found(trusted="127.0.0.1/32,::/0"), ("trusts-the-world",)),
        (found(trusted="10.0.0.0/8,172.16.0.0/12,2400:cb00::/32"), ()),
    ],
)
def test_what_counts_say(facts: Found, names: tuple[str, ...]) -> None:
    assert judge(facts).faults == names


def test_half_of_the_internet_is_the_world() -> None:
    assert trusts_the_world([ipaddress.ip_network("128.0.0.0/1")])
    assert not trusts_the_world([])
