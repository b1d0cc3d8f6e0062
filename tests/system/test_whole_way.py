"""The whole way of a hit, from outside: request, row, rollup."""

from __future__ import annotations

import uuid
from urllib.parse import urlencode

import pytest

from tests.system.stack import Stack, wait_until

pytestmark = pytest.mark.system


def test_a_hit_becomes_a_row_and_a_number(stack: Stack) -> None:
    page = f"/{uuid.uuid4()}"
    parameters = {
        "url": f"https://www.blog.example{page}?utm_source=hn",
        "title": "A post",
        "screen": "1920x1080",
    }
    status, headers, body = stack.get("/a.gif?" + urlencode(parameters), Accept_Language="de-DE,de;q=0.9")
    assert (status, headers["X-Footfall"], body[:6]) == (200, "accepted", b"GIF89a")
    row = wait_until(
        lambda: stack.query(
            "select site, host, title, source, is_bot, browser, device, language, screen, session_id is not null"
            " from hits where path = %s",
            page,
        )
    )
    expected = (
        "blog.example",
        "www.blog.example",
        "A post",
        "Hacker News",
        False,
        "Chrome",
        "desktop",
        "de-DE",
    )
    assert row == [(*expected, "1920x1080", True)]
    numbers = wait_until(
        lambda: stack.query("select pageviews, visitors, title from daily_pages where path = %s", page)
    )
    assert numbers == [(1, 1, "A post")]


def test_the_same_id_is_one_hit(stack: Stack) -> None:
    page, hit_id = f"/{uuid.uuid4()}", str(uuid.uuid4())
    query = urlencode({"url": f"https://blog.example{page}", "id": hit_id.upper()})
    for _ in range(3):
        assert stack.get(f"/a?{query}")[0] == 204
    rows = wait_until(lambda: stack.query("select hit_id::text from hits where path = %s", page))
    assert rows == [(hit_id,)]


def test_check_is_clean(stack: Stack) -> None:
    done = stack.make("check", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
