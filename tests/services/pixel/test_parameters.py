"""What a query and a body say, whatever they hold."""

from __future__ import annotations

import gzip
import zlib
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.pixel.parameters import body_parameters, query_parameters, unpacked
from tests.strategies import wild_texts

EMOJI = "\N{PILE OF POO}"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {}),
        ("url=a&title=b", {"url": "a", "title": "b"}),
        ("title=a+b%20c%26d", {"title": "a b c&d"}),
        ("title=%C3%A4", {"title": "ä"}),
        ("title=%FF", {"title": "\N{REPLACEMENT CHARACTER}"}),
        ("title=a&title=b", {"title": "a"}),
        ("title", {"title": ""}),
        ("title=", {"title": ""}),
        ("title=a=b=c", {"title": "a=b=c"}),
        ("=a&&&title=b", {"": "a", "title": "b"}),
        ("title=100%", {"title": "100%"}),
        ("title=%zz", {"title": "%zz"}),
        ("title=%F0%9F%92%A9", {"title": EMOJI}),
    ],
)
def test_a_query_is_read(query: str, expected: dict[str, str]) -> None:
    assert query_parameters(query) == expected


@given(parameters=st.dictionaries(st.sampled_from(["url", "title", "x"]), wild_texts.filter(str.isprintable)))
def test_what_urlencode_writes_is_read_back(parameters: dict[str, str]) -> None:
    assert query_parameters(urlencode(parameters)) == parameters
    assert body_parameters(urlencode(parameters).encode()) == parameters


def multipart(**fields: str) -> bytes:
    """A body as a browser makes it of a FormData."""
    parts = "".join(
        f'--x8\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    return f"{parts}--x8--\r\n".encode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", {}),
        (b"  \n", {}),
        (b"{}", {}),
        (b' {"url": "a", "status": 404}\n', {"url": "a", "status": 404}),
        (b"url=a&title=b+c", {"url": "a", "title": "b c"}),
        (b"url=a&title=%FF\xff", {"url": "a", "title": "\N{REPLACEMENT CHARACTER}" * 2}),
        (b'\xef\xbb\xbf{"url": "a"}', {"url": "a"}),
        (b'{"url": null, "title": "b"}', {"title": "b"}),
        ('{"title": "ä💩"}'.encode(), {"title": "ä" + EMOJI}),
        (b'{"title": "\\ud83d\\udca9"}', {"title": EMOJI}),
        (multipart(url="a", title="ä\r\n--x", empty=""), {"url": "a", "title": "ä\r\n--x", "empty": ""}),
        (multipart(), {}),
        (b"--", {}),
        (b"--x", {}),
        (b"--x\r\n\r\n", {}),
        (b'--x\r\nContent-Disposition: form-data; name="url"', {"url": ""}),
        (b'--x\r\nContent-Disposition: form-data; name="url"\r\n\r\na', {"url": "a"}),
    ],
)
def test_a_body_is_json_or_a_form(body: bytes, expected: dict[str, Any]) -> None:
    assert body_parameters(body) == expected


@pytest.mark.parametrize("body", [b"{", b"{]", b'{"a": }', b"{} x", b'{"a":' * 30_000], ids=repr)
def test_a_body_that_begins_as_json_and_is_none_has_no_parameters(body: bytes) -> None:
    assert body_parameters(body) == {}


PLAIN = b"url=https://blog.example/"
RAW = zlib.compressobj(wbits=-15)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (PLAIN, ""),
        (PLAIN, "identity"),
        (PLAIN, "br"),  # nobody sends it; it is no form then
        (gzip.compress(PLAIN), "gzip"),
        (gzip.compress(PLAIN), " X-GZIP "),
        (zlib.compress(PLAIN), "deflate"),
        (RAW.compress(PLAIN) + RAW.flush(), "deflate"),
    ],
)
def test_a_body_is_unpacked_as_its_coding_says(body: bytes, coding: str) -> None:
    assert unpacked(body, coding, 100) == PLAIN


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_that_is_not_what_its_coding_says_is_empty(coding: str) -> None:
    assert unpacked(b"url=a", coding, 100) == b""


@pytest.mark.parametrize(("size", "fits"), [(100, True), (101, False), (10_000_000, False)])
def test_a_body_is_unpacked_to_the_limit_only(size: int, fits: bool) -> None:
    assert unpacked(gzip.compress(b"x" * size), "gzip", 100) == (b"x" * size if fits else None)


@given(body=st.binary(max_size=100), coding=st.sampled_from(["gzip", "deflate", "x-gzip", "br", ""]))
def test_no_coding_raises(body: bytes, coding: str) -> None:
    assert len(unpacked(body, coding, 100) or b"") <= 100
