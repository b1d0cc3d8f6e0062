"""Lines of access logs, and which of them are page views."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.access_log import Line, own_host, parse_line

REAL_LOG = Path(__file__).resolve().parents[3] / "shared/data/apache_logs"
COMBINED = (
    '198.51.100.7 - alice [17/May/2026:10:05:03 +0000] "GET /a%20b/?x=1 HTTP/1.1" 200 203 '
    '"https://news.example/?q=\\"x\\"" "Mozilla/5.0 (X11; Linux x86_64) \\"odd\\""'
)


def test_a_combined_line_is_read() -> None:
    assert parse_line(COMBINED) == Line(
        address="198.51.100.7",
        method="GET",
        target="/a%20b/?x=1",
        status=200,
        referrer='https://news.example/?q="x"',
        user_agent='Mozilla/5.0 (X11; Linux x86_64) "odd"',
        at_us=1_779_012_303_000_000,
        size="203",
    )


def test_a_common_line_has_neither_referrer_nor_agent() -> None:
    line = parse_line('2001:db8::1 - - [17/May/2026:10:05:03 +0000] "GET / HTTP/1.0" 404 -')
    assert line == Line(
        "2001:db8::1", "GET", "/", 404, "", "", at_us=1_779_012_303_000_000, size="-", knows_agent=False
    )


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", '1.2.3.4 - - [x] "GET" 200 1', '1.2.3.4 - - [x] "\\x16\\x03" 400 1 "-" "-"'],
)
def test_what_is_no_request_is_no_line(text: str) -> None:
    assert parse_line(text) is None


@pytest.mark.parametrize(
    ("method", "target", "status", "expected"),
    [
        ("GET", "/", 200, True),
        ("GET", "/post.html?x=a.png", 200, True),
        ("GET", "/gone", 404, True),
        ("GET", "/partial", 206, True),
        ("POST", "/", 200, False),
        ("HEAD", "/", 200, False),
        ("GET", "/", 301, False),
        ("GET", "/", 304, False),
        ("GET", "/", 500, False),
        ("GET", "/a.CSS", 200, False),
        ("GET", "/a.js?v=1", 200, False),
        ("GET", "/robots.txt", 200, False),
    ],
)
def test_a_page_view_is_a_page_that_was_got(method: str, target: str, status: int, expected: bool) -> None:
    assert Line("1.2.3.4", method, target, status, "", "").is_page_view is expected


def test_the_sites_own_host_is_the_one_that_refers_to_its_pages() -> None:
    lines = [
        Line("a", "GET", "/post", 200, "https://www.google.com/", ""),
        Line("a", "GET", "/", 200, "https://www.google.com/", ""),
        Line("a", "GET", "/about", 200, "https://blog.example/post", ""),
        Line("a", "GET", "/post", 200, "http://[broken", ""),
    ]
    assert own_host(lines) == "blog.example"
    assert own_host(lines[:1]) is None


@pytest.mark.skipif(not REAL_LOG.exists(), reason="the real log is not here: ../shared/data/apache_logs")
def test_the_real_log_is_read_whole() -> None:
    lines = [parse_line(text) for text in REAL_LOG.read_text(errors="replace").splitlines()]
    known = [line for line in lines if line is not None]
    assert (len(lines), len(known)) == (10_000, 10_000)
    assert own_host(known) == "www.semicomplete.com"
    assert sum(line.is_page_view for line in known) == 3_910
