"""`make replay` of a real website's log: every page view is a row, every number follows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.stack import ROOT, Stack, wait_until

pytestmark = pytest.mark.system
REAL_LOG = ROOT.parent / "shared/data/apache_logs"


@pytest.mark.skipif(not REAL_LOG.exists(), reason="the real log is not here: ../shared/data/apache_logs")
@pytest.mark.parametrize("timezone", ["UTC", "Pacific/Kiritimati"])
def test_the_real_log_becomes_rows_and_numbers(make_stack: Callable[..., Stack], timezone: str) -> None:
    stack = make_stack(REPORT_TIMEZONE=timezone)
    output = stack.make("replay", f"LOG={REAL_LOG}").stdout
    sent, accepted = (int(number) for number in re.findall(r"^(?:sent|accepted) (\d+)$", output, re.M))
    assert sent == accepted > 3_000
    wait_until(lambda: stack.query("select count(*)::int from hits") == [(accepted,)])
    wait_until(lambda: not stack.query("select 1 from rollup_pending"))
    done = stack.make("check", check=False)
    assert done.returncode == 0, done.stdout
    # Plausible: the log's own site is no source, search engines and crawlers are known.
    top_source = (
        "select source from daily_sources where source is not null group by 1 order by sum(pageviews) desc"
    )
    assert stack.query(top_source)[0] == ("Search",)
    assert stack.query("select count(*)::int from daily_sources where source like '%%semicomplete%%'") == [
        (0,)
    ]
    bots = {row[0] for row in stack.query("select distinct bot_name from hits where is_bot")}
    assert {"Googlebot", "YandexBot", "no User-Agent"} <= bots
    assert stack.query("select distinct site from hits") == [("semicomplete.com",)]
    days = stack.query("select distinct (received_at at time zone %s)::date = day from hits", timezone)
    assert days == [(True,)]


def test_a_log_that_is_none_is_named(stack: Stack, tmp_path: Path) -> None:
    empty = tmp_path / "log"
    empty.write_text("nonsense\n")
    for path in (empty, tmp_path / "missing"):
        done = stack.make("replay", f"LOG={path}", check=False)
        assert done.returncode != 0
        assert f"LOG: {'cannot read ' if not path.exists() else ''}{path}" in done.stderr


def test_check_finds_what_somebody_changed_by_hand(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    for number in range(3):
        stack.get(f"/a?url=https://blog.example/{number}&title=t&referrer=https://news.example/")
    wait_until(lambda: stack.query("select pageviews from daily_traffic") == [(3,)])
    assert stack.make("check", check=False).returncode == 0
    page = "(select page_id from pages where path = '/1')"
    tampering = {
        "rollup_traffic": ("update rollup_traffic set visitors = visitors + {}", 1, -1),
        "rollup_pages": (
            f"update rollup_pages set pageviews = pageviews + {{}} where page_id = {page}",
            1,
            -1,
        ),
        "rollup_referrals": ("update rollup_referrals set visitors = visitors + {}", 1, -1),
        "ledger does not close": ("update ledger set accepted = accepted + {}", 1, -1),
        "ledger.stored": ("update ledger set stored = stored + {}, duplicate = duplicate - {}", 1, -1),
        "titles": (f"update rollup_titles set title_id = title_id + {{}} where page_id = {page}", 1, -1),
    }
    for named, (statement, change, back) in tampering.items():
        with stack.connect() as connection:
            connection.execute(statement.format(change, change))  # type: ignore[call-overload]
        done = stack.make("check", check=False)
        assert done.returncode != 0, named
        assert named in done.stdout
        with stack.connect() as connection:
            connection.execute(statement.format(back, back))  # type: ignore[call-overload]
    assert stack.make("check", check=False).returncode == 0
