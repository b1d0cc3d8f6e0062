"""What is an address of a page, what its parts are, and what is local."""

from __future__ import annotations

import pytest
from hypothesis import given

from services.page_address import Address, canonical_path, is_file, is_local, parse_address, without_www
from tests.strategies import wild_texts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://blog.example", ("blog.example", "/", "", "")),
        ("https://blog.example/", ("blog.example", "/", "", "")),
        ("HTTPS://Blog.EXAMPLE/Path", ("blog.example", "/Path", "", "")),
        ("http://blog.example:8080/a?b=c&d#e", ("blog.example", "/a", "b=c&d", "e")),
        ("https://user:secret@blog.example/", ("blog.example", "/", "", "")),
        ("https://a@b@blog.example/", ("blog.example", "/", "", "")),
        ("https://blog.example./", ("blog.example", "/", "", "")),
        ("https://blog.example.:443/", ("blog.example", "/", "", "")),
        ("https://blog.example?a", ("blog.example", "/", "a", "")),
        ("https://blog.example#a", ("blog.example", "/", "", "a")),
        ("https://bücher.example/ä", ("xn--bcher-kva.example", "/ä", "", "")),
        ("https://my_host.example/", ("my_host.example", "/", "", "")),
        ("https://[2001:DB8:0:0::1]:8443/", ("2001:db8::1", "/", "", "")),
        ("https://[fe80::1%25eth0]/", ("fe80::1", "/", "", "")),
        ("https://203.0.113.7/a%20b", ("203.0.113.7", "/a%20b", "", "")),
        ("https://0xCB.0.0x7107/", ("203.0.113.7", "/", "", "")),
        ("https://0313.113.7/", ("203.113.0.7", "/", "", "")),
    ],
)
def test_an_address_has_parts(text: str, expected: tuple[str, str, str, str]) -> None:
    assert parse_address(text) == Address(*expected)


@pytest.mark.parametrize(
    "text",
    [
        "", "blog.example", "//blog.example/", "/a", "ftp://blog.example/", "javascript:alert(1)", "about:blank",
        "data:text/html,x", "android-app://com.example/", "https://", "https:///a", "https://?a", "https://@/",
        "https://:80/", "https://a b/", "https://-a.example/", "https://a.example-/", "https://.example/",
        "https://[::1", "https://[::g]/", "https://[]/", "https://a<b>.example/", "https://" + "a" * 254 + "/",
        "https://" + "ü" * 70 + ".example/", "https://a..ü/", "https://\ud83d.example/", "https://%20/",
        "https://exa\u2100mple/", "https://1.2.3.4.5/", "https://256.1.1.1/", "https://1.2.3.256/", "https://08.1/",
        "https://4294967296/", "https://a.1/", "https://1..2/", "https://0x7f.a.0x1/", "https://" + "9" * 200 + "/",
    ],
)  # fmt: skip
def test_no_address_is_none(text: str) -> None:
    assert parse_address(text) is None


@given(text=wild_texts)
def test_any_text_is_an_address_or_none(text: str) -> None:
    for candidate in (text, "https://" + text, "http://[" + text, "https://blog.example/" + text):
        address = parse_address(candidate)
        assert address is None or (address.host and address.path.startswith("/"))


@pytest.mark.parametrize("text", ["file:///home/me/a.html", "FILE:///C:/a.html", "File:a"])
def test_a_file_is_told(text: str) -> None:
    assert is_file(text)


def test_a_page_named_file_is_none() -> None:
    assert not is_file("https://file.example/")


LOCAL = (
    "localhost", "a.localhost", "local", "printer.local", "test", "a.b.test", "127.0.0.1", "127.8.8.8", "10.1.2.3",
    "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1", "0.0.0.0",  # noqa: S104
     "::1", "::", "fc00::1", "fd12::1",
    "fe80::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
)  # fmt: skip
PUBLIC = (
    "blog.example", "blog.invalid", "example.com", "localhost.example.com", "mylocalhost", "latest", "contest",
    "attest.example", "thelocal", "local.example", "test.example", "8.8.8.8", "172.32.0.1", "172.15.0.1", "11.0.0.1",
    "192.169.1.1", "2606:4700::1", "1.example", "example1", "10.example", "192.0.2.1", "198.51.100.1", "203.0.113.1",
    "2001:db8::1", "::2", "::ffff:8.8.8.8",
)  # fmt: skip


@pytest.mark.parametrize(("host", "local"), [(h, True) for h in LOCAL] + [(h, False) for h in PUBLIC])
def test_hosts_of_a_private_network_are_local(host: str, local: bool) -> None:
    assert is_local(host) == local


@pytest.mark.parametrize(
    "url",
    [
        "http://LOCALHOST:3000/", "http://localhost./", "http://user@localhost/", "http://My.Localhost:80/",
        "http://[::1]:3000/", "http://[0:0:0:0:0:0:0:1]/", "http://127.0.0.1:8000/", "http://[FE80::1%25en0]/",
        "http://[::ffff:192.168.0.1]/", "http://127.1/", "http://0x7f.1/", "http://0177.0.0.1/", "http://2130706433/",
        "http://0/", "http://0x/", "http://10.1.2.3./",
    ],
)  # fmt: skip
def test_every_spelling_of_a_local_page_is_local(url: str) -> None:
    address = parse_address(url)
    assert address is not None
    assert is_local(address.host)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "/"), ("//", "/"), ("/a", "/a"), ("/a/", "/a"), ("/a//", "/a"), ("/a/b/", "/a/b"),
        ("/index.html", "/"), ("/a/index.html", "/a"), ("/a/index.htm", "/a"), ("/a/Index.PHP", "/a"),
        ("/a/index.html/", "/a"),
        ("/index.html/index.htm", "/"), ("/myindex.html", "/myindex.html"), ("/index.html.gz", "/index.html.gz"),
        ("/index.php/2020/post", "/index.php/2020/post"), ("/index", "/index"), ("", "/"), ("/A", "/A"),
    ],
)  # fmt: skip
def test_spellings_of_a_path_are_one(path: str, expected: str) -> None:
    assert canonical_path(path) == expected


@given(path=wild_texts)
def test_one_spelling_of_a_path_is_its_own(path: str) -> None:
    once = canonical_path("/" + path)
    assert once.startswith("/")
    assert once == "/" or not once.endswith("/")
    assert canonical_path(once) == once


@pytest.mark.parametrize(
    ("host", "expected"),
    [("www.example.com", "example.com"), ("www.com", "www.com"), ("awww.example.com", "awww.example.com")],
)
def test_www_is_left_out(host: str, expected: str) -> None:
    assert without_www(host) == expected
