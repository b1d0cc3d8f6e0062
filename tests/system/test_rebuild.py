"""What an operator does about numbers that are wrong, and about another time zone, from outside."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest

from tests.system.stack import Stack, wait_until

pytestmark = pytest.mark.system
HITS = 6


def check(stack: Stack) -> tuple[int, str]:
    """`make check`: its exit code and what it prints."""
    done = stack.make("check", check=False)
    assert done.stdout.startswith(
        f"accepted {HITS} = stored {HITS} + duplicate 0 + dead-lettered 0 + pending 0\n"
    ), done.stdout + done.stderr
    return done.returncode, done.stdout


def other_zone() -> str:
    """One in which it is another day now than in UTC."""
    now = datetime.datetime.now(datetime.UTC)
    zones = ("Pacific/Kiritimati", "Pacific/Pago_Pago")  # +14, -11
    return next(zone for zone in zones if now.astimezone(ZoneInfo(zone)).date() != now.date())


def test_wrong_numbers_are_found_and_counted_anew_and_days_follow_the_zone(
    make_stack: Callable[..., Stack],
) -> None:
    stack = make_stack()
    for number in range(HITS):
        parameters = {
            "url": f"https://blog.example/{number % 2}",
            "title": "A post",
            "referrer": "https://a.example/",
        }
        assert stack.get("/a.gif?" + urlencode(parameters))[0] == 200
    wait_until(lambda: stack.query("select sum(pageviews)::int from daily_traffic") == [(HITS,)])
    assert check(stack)[0] == 0

    today = datetime.datetime.now(datetime.UTC).date()
    with stack.connect() as owner:
        owner.execute(
            "update rollup_pages set visitors = visitors + 3 where page_id = (select min(page_id) from pages)"
        )
    code, said = check(stack)
    assert (code != 0, said.splitlines()[-1]) == (True, "check failed")
    assert "rollup_pages differs from hits: 1" in said
    [command] = [line for line in said.splitlines() if line.startswith("    → make rebuild FROM=")]
    done = stack.make(*command.split()[2:])
    assert "rollup_pages: 1 cells were wrong" in done.stdout
    assert check(stack)[0] == 0
    assert stack.make("rebuild", check=False).returncode != 0, "FROM and TO are needed"

    zone = other_zone()
    stack.stop()
    wait_until(lambda: stack.make("urls", check=False).returncode != 0)
    stack.environ["REPORT_TIMEZONE"] = zone
    stack.start()
    assert '"timezone-changed"' in stack.log.read_text()
    code, said = check(stack)
    assert code != 0
    assert f"hits are not on their day in REPORT_TIMEZONE: {HITS}" in said
    assert "→ make rebuild TIMEZONE=1" in said
    done = stack.make("rebuild", "TIMEZONE=1")
    assert f"{HITS} hits moved" in done.stdout
    assert check(stack)[0] == 0
    [(day, pageviews)] = stack.query("select day, pageviews from daily_traffic")
    assert (day != today, pageviews) == (True, HITS)
