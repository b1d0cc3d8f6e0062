"""SIGKILL of each part in the middle of a replay changes no count."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.stack import NAMES, ROOT, Stack, wait_until

pytestmark = pytest.mark.system
KILLS = 12


def write_log(path: Path, lines: int) -> int:
    """A log in the combined format; how many of its lines are page views."""
    agents = (
        "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
        " Version/18.0 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    )
    chance = random.Random(7)
    views = 0
    with path.open("w") as log:
        for number in range(lines):
            page = f"/post/{chance.randrange(40)}/" if number % 10 else "/style.css"
            views += page != "/style.css"
            address = f"203.0.{chance.randrange(4)}.{chance.randrange(250)}"
            referrer = chance.choice(
                ("-", "https://www.google.com/", "https://news.ycombinator.com/item?id=1")
            )
            status = 404 if number % 50 == 1 else 200
            log.write(
                f'{address} - - [17/May/2026:10:05:03 +0000] "GET {page} HTTP/1.1" {status} 512 "{referrer}" '
                f'"{chance.choice(agents)}"\n'
            )
    return views


def audit(stack: Stack, accepted: int) -> None:
    """Every accepted hit is a row, once, and every number follows."""
    wait_until(lambda: stack.query("select count(*) from hits")[0][0] >= accepted, 60)
    wait_until(lambda: not stack.query("select 1 from rollup_pending limit 1"), 60)
    assert stack.query("select count(*), count(distinct hit_id) from hits") == [(accepted, accepted)]
    done = stack.make("check", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_killing_everything_during_a_replay_changes_no_count(
    make_stack: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = make_stack(REPORT_TIMEZONE="Pacific/Kiritimati")
    views = write_log(tmp_path / "access.log", 8_000)
    seed = int(os.environ.get("CHAOS_SEED", time.time_ns() % 1_000_000))
    print(f"CHAOS_SEED={seed}")
    chance = random.Random(seed)
    replay = subprocess.Popen(
        ["make", "replay", f"LOG={tmp_path / 'access.log'}", "SITE=blog.example"],
        cwd=ROOT,
        env=stack.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    victims = [*NAMES, *(chance.choice(NAMES) for _ in range(KILLS - len(NAMES)))]
    for victim in victims:
        time.sleep(chance.uniform(0.05, 0.9))
        former = stack.kill(victim, signal.SIGKILL)
        wait_until(lambda victim=victim, former=former: stack.pid(victim) != former, 20)
    output, _ = replay.communicate(timeout=240)
    assert f"sent {views}\naccepted {views}\n" in output, output
    audit(stack, views)
    # The day is the reporting zone's: Kiritimati is 14 hours ahead of UTC.
    days = stack.query("select distinct day, (received_at at time zone 'Pacific/Kiritimati')::date from hits")
    assert all(day == expected for day, expected in days)
