"""Which site a host belongs to."""

from __future__ import annotations

import pytest

from services.sites import Sites
from tests.make import make_settings

LIST = "example.com, shop.example=example.com, blog.example.com, deep.blog.example.com=deep"


@pytest.mark.parametrize(
    ("sites", "host", "site"),
    [
        (LIST, "example.com", "example.com"),
        (LIST, "www.example.com", "example.com"),
        (LIST, "a.b.example.com", "example.com"),
        (LIST, "blog.example.com", "blog.example.com"),
        (LIST, "www.blog.example.com", "blog.example.com"),
        (LIST, "deep.blog.example.com", "deep"),
        (LIST, "shop.example", "example.com"),
        (LIST, "www.shop.example", "example.com"),
        (LIST, "notexample.com", None),
        (LIST, "example.com.evil.example", None),
        (LIST, "com", None),
        ("*", "example.com", "example.com"),
        ("*", "www.example.com", "example.com"),
        ("*", "www.com", "www.com"),
        ("*", "www2.example.com", "www2.example.com"),
        ("*", "www.www.example.com", "www.example.com"),
        ("*", "203.0.113.7", "203.0.113.7"),
        ("EXAMPLE.com.", "example.com", "example.com"),
        ("bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
    ],
)
def test_the_longest_entry_that_covers_the_host_is_its_site(sites: str, host: str, site: str | None) -> None:
    assert Sites(make_settings(SITES=sites).sites).site_of(host) == site
