"""Texts at their limits, which no index could hold, are rows and numbers like any other."""

from __future__ import annotations

import json
import random
import urllib.request

import pytest

from tests.system.stack import BROWSER, Stack, wait_until

pytestmark = pytest.mark.system


def random_path(length: int, letters: str, seed: int) -> str:
    """What cannot be compressed, in pieces short enough to be no token."""
    chance = random.Random(seed)
    return "/" + "".join("/" if number % 20 == 19 else chance.choice(letters) for number in range(length))


@pytest.mark.parametrize("letters", ["abcdefghijklmnopqrstuvwxyz", "".join(map(chr, range(0x4E00, 0x9000)))])
def test_a_long_path_and_referrer_stop_no_rollup(stack: Stack, letters: str) -> None:
    site = f"long{len(letters)}.example"
    url = f"https://{site}{random_path(1_900, letters, 1)}"
    referrer = f"https://other.example{random_path(1_900, letters, 2)}"
    for title in ("first", "second"):
        hit = {"url": url, "referrer": referrer, "title": title, "status": 404}
        request = urllib.request.Request(
            stack.pixel_url + "/a",
            json.dumps(hit).encode(),
            {"User-Agent": BROWSER, "Content-Type": "text/plain"},
        )
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.headers["X-Footfall"] == "accepted"
    assert stack.get(f"/a?url=https://after.{site}/")[0] == 204
    wait_until(lambda: stack.query("select 1 from daily_traffic where site = %s", f"after.{site}"))
    for view in ("daily_pages", "daily_referrals", "daily_missing"):
        rows = stack.query(f"select pageviews, char_length(path) > 1800 from {view} where site = %s", site)
        assert rows == [(2, True)], view
    assert stack.query("select title from daily_pages where site = %s", site) == [("second",)]
    done = stack.make("check", check=False)
    assert done.returncode == 0, done.stdout


def test_reading_roles_write_nothing_anywhere(stack: Stack) -> None:
    with stack.connect("analyst") as connection:
        connection.execute("set default_transaction_read_only = off")
        for statement in ("create temporary table t (x int)", "select lo_create(0)", "delete from ledger",
                          "select pg_advisory_lock(1)", "create table t (x int)"):  # fmt: skip
            with pytest.raises(Exception, match="permission denied"):
                connection.execute(statement)
