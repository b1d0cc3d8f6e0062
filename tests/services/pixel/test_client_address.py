"""Whose request it is: the peer, or what a trusted proxy's one header says."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pixel.client_address import ClientAddress, parse_ip
from tests.make import make_settings

PROXIES = "10.0.0.0/8, 192.168.1.1, ::1, fd00::/8"


def make_address(proxies: str = PROXIES, header: str = "X-Forwarded-For") -> ClientAddress:
    settings = make_settings(TRUSTED_PROXIES=proxies, CLIENT_ADDRESS_HEADER=header)
    return ClientAddress(settings.trusted_proxies, settings.client_address_header)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 ", "203.0.113.7"),
        ("203.0.113.7:52113", "203.0.113.7"),
        ('"203.0.113.7:52113"', "203.0.113.7"),
        ("2001:DB8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ('"[2001:db8::7]:443"', "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]", "fe80::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:203.0.113.7]:80", "203.0.113.7"),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("203.0.113.7.example", None),
        ("203.0.113", None),
        ("203.0.113.256", None),
        ("0203.0.113.7", None),
        ("203.0.113.7 203.0.113.8", None),
        ("[2001:db8::7", "2001:db8::7"),
        ("٢٠٣.0.113.7", None),
    ],
)
def test_an_address_is_read_as_proxies_write_it(text: str, address: str | None) -> None:
    assert parse_ip(text) == (ipaddress.ip_address(address) if address else None)


CASES = [
    # peer, lines of the header, whose request it is
    ("203.0.113.9", [], "203.0.113.9"),
    ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # nobody's proxy may name a client
    ("10.0.0.1", [], "10.0.0.1"),
    ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
    ("10.0.0.1", ["203.0.113.7:1234"], "203.0.113.7"),
    ("10.0.0.1", ["[2001:db8::7]:1234"], "2001:db8::7"),
    ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
    ("10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
    ("10.0.0.1", ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),  # what the client itself claimed stands left
    ("10.0.0.1", ["198.51.100.1, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
    ("10.0.0.1", ["198.51.100.1, 203.0.113.7, 192.168.1.1, 10.9.9.9"], "203.0.113.7"),
    ("10.0.0.1", ["203.0.113.7, 192.168.1.2"], "192.168.1.2"),  # a private address that is not trusted
    ("10.0.0.1", ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),  # repeated lines are one list
    ("10.0.0.1", ["203.0.113.7", "10.0.0.2"], "203.0.113.7"),
    ("10.0.0.1", ["203.0.113.7,10.0.0.2 ,\t10.0.0.3"], "203.0.113.7"),
    ("10.0.0.1", ["10.0.0.2, 10.0.0.3"], "10.0.0.1"),  # proxies only
    ("10.0.0.1", ["unknown"], "10.0.0.1"),
    ("10.0.0.1", ["203.0.113.7, unknown"], "10.0.0.1"),
    ("10.0.0.1", ["203.0.113.7, unknown, 10.0.0.2"], "10.0.0.1"),
    ("10.0.0.1", ["203.0.113.7,"], "10.0.0.1"),
    ("10.0.0.1", [""], "10.0.0.1"),
    ("10.0.0.1", ["garbage, 203.0.113.7"], "203.0.113.7"),  # not looked at
    ("::1", ["203.0.113.7"], "203.0.113.7"),
    ("fd00::2", ["2001:db8::7"], "2001:db8::7"),
    ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),  # a dual-stack socket's spelling
    ("::ffff:203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
    (None, [], "127.0.0.1"),
    (None, ["203.0.113.7"], "203.0.113.7"),  # the owner's own tools, on their socket
    (None, ["rubbish"], "127.0.0.1"),
]


@pytest.mark.parametrize(("peer", "lines", "client"), CASES)
def test_the_client_is_the_first_untrusted_from_the_right(
    peer: str | None, lines: list[str], client: str
) -> None:
    assert make_address().of(peer, lines) == client


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", ["198.51.100.1"], "10.0.0.1"),
        ("::ffff:203.0.113.9", [], "203.0.113.9"),
        ("2001:DB8:0::9", [], "2001:db8::9"),
        (None, ["203.0.113.7"], "203.0.113.7"),
    ],
)
def test_without_trusted_proxies_the_client_is_the_peer(
    peer: str | None, lines: list[str], client: str
) -> None:
    assert make_address(proxies="").of(peer, lines) == client


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        (["for=203.0.113.7"], "203.0.113.7"),
        (["For=203.0.113.7;proto=https;by=10.0.0.1"], "203.0.113.7"),
        (["proto=https; for=203.0.113.7"], "203.0.113.7"),
        (['for="203.0.113.7:4711"'], "203.0.113.7"),
        (['for="[2001:db8:cafe::17]:4711"'], "2001:db8:cafe::17"),
        (["for=198.51.100.1, for=203.0.113.7, for=10.0.0.2"], "203.0.113.7"),
        (["for=198.51.100.1", "for=203.0.113.7"], "203.0.113.7"),
        (["for=_hidden"], "10.0.0.1"),
        (["for=unknown"], "10.0.0.1"),
        (["by=203.0.113.7"], "10.0.0.1"),
        (["xfor=203.0.113.7"], "10.0.0.1"),
        (["203.0.113.7"], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
@pytest.mark.parametrize("header", ["Forwarded", "forwarded"])
def test_forwarded_is_understood_if_named(lines: list[str], client: str, header: str) -> None:
    assert make_address(header=header).of("10.0.0.1", lines) == client


def test_another_header_is_a_plain_list() -> None:
    assert make_address(header="CF-Connecting-IP").of("10.0.0.1", ["203.0.113.7"]) == "203.0.113.7"
    assert make_address(header="CF-Connecting-IP").of("10.0.0.1", ["for=203.0.113.7"]) == "10.0.0.1"


peers = (
    st.none()
    | st.ip_addresses().map(str)
    | st.sampled_from(["10.0.0.1", "::1", "::ffff:10.0.0.1", "fe80::1%2"])
)
pieces = (
    st.ip_addresses().map(str)
    | st.text(max_size=20)
    | st.sampled_from(["for=", '"', "[", "]", ",", ";", ":"])
)

lists_of_pieces = st.lists(pieces, max_size=6)


@given(
    peer=peers,
    lines=st.lists(
        st.lists(pieces, max_size=6).map(",".join) | st.lists(pieces, max_size=6).map("".join), max_size=3
    ),
    header=st.sampled_from(["X-Forwarded-For", "Forwarded"]),
    proxies=st.sampled_from(["", PROXIES, "0.0.0.0/0,::/0"]),
)
def test_any_header_gives_an_address(peer: str | None, lines: list[str], header: str, proxies: str) -> None:
    found = make_address(proxies, header).of(peer, lines)
    assert len(found) <= 45
    if found != peer:
        assert str(ipaddress.ip_address(found)) == found
